from fashion_lsh.cli.evaluate import main

if __name__ == "__main__":
    main()
