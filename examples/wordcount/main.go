// Command wordcount counts the lines, words and bytes of its standard input. It
// is an ordinary program that knows nothing about Ruedo and imports nothing
// from it.
package main

import (
	"bufio"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"unicode"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the program. It returns the exit code: 0, 1 if reading or writing
// failed, 2 for wrong arguments.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("wordcount", flag.ContinueOnError)
	flags.SetOutput(stderr)
	top := flags.Int("top", 0, "also print the `N` most frequent words")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "wordcount: unexpected argument %q: the text is read from standard input\n", flags.Arg(0))
		return 2
	}
	if *top < 0 {
		fmt.Fprintf(stderr, "wordcount: -top is %d: give a number from 0 up\n", *top)
		return 2
	}
	c, err := count(stdin, *top > 0)
	if err != nil {
		fmt.Fprintf(stderr, "wordcount: reading: %v\n", err)
		return 1
	}
	out := bufio.NewWriter(stdout)
	fmt.Fprintf(out, "lines %d\nwords %d\nbytes %d\n", c.lines, c.words, c.bytes)
	for _, word := range c.most(*top) {
		fmt.Fprintf(out, "%d %s\n", c.seen[word], word)
	}
	if err := out.Flush(); err != nil {
		fmt.Fprintf(stderr, "wordcount: writing: %v\n", err)
		return 1
	}
	return 0
}

// counts holds the result for a text.
type counts struct {
	lines, words, bytes int
	seen                map[string]int // by word, in lower case; nil unless asked for
}

// count reads to the end. Words are separated by space, as in wc; a last line
// without a line feed counts as a line.
func count(r io.Reader, each bool) (counts, error) {
	var c counts
	if each {
		c.seen = map[string]int{}
	}
	in := bufio.NewReader(r)
	var word strings.Builder
	inWord := false
	end := func() {
		if !inWord {
			return
		}
		inWord = false
		c.words++
		if each {
			if plain := strings.ToLower(strings.TrimFunc(word.String(), notInWord)); plain != "" {
				c.seen[plain]++
			}
			word.Reset()
		}
	}
	last := '\n'
	for {
		char, size, err := in.ReadRune()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return counts{}, err
		}
		c.bytes += size
		last = char
		if char == '\n' {
			c.lines++
		}
		if unicode.IsSpace(char) {
			end()
			continue
		}
		inWord = true
		if each {
			word.WriteRune(char)
		}
	}
	end()
	if last != '\n' {
		c.lines++
	}
	return c, nil
}

// notInWord reports what is trimmed from both ends of a word before it is
// compared.
func notInWord(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }

// mostFrequent returns the n most frequent words; equally frequent ones are in
// alphabetical order.
func (c counts) most(n int) []string {
	words := slices.SortedFunc(maps.Keys(c.seen), func(a, b string) int {
		return cmp.Or(cmp.Compare(c.seen[b], c.seen[a]), cmp.Compare(a, b))
	})
	return words[:min(n, len(words))]
}
