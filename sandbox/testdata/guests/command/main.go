// The command guest of the sandbox's tests: a plain program that knows nothing
// about its host.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "flood" {
		w := bufio.NewWriter(os.Stdout)
		for {
			fmt.Fprintln(w, "and on and on and on")
		}
	}
	in, err := io.ReadAll(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(9)
	}
	fmt.Fprintln(os.Stderr, "read", len(in), "bytes", os.Getenv("GREETING"))
	if caller, ok := os.LookupEnv("REMOTE_USER"); ok {
		fmt.Fprintln(os.Stderr, "of", caller)
	}
	fmt.Println(len(strings.Fields(string(in))))
	if strings.HasPrefix(string(in), "bad") {
		os.Exit(3)
	}
}
