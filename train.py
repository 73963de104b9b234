from fashion_lsh.cli.train import main

if __name__ == "__main__":
    main()
