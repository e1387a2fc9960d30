package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestRun(t *testing.T) {
	const text = "The cat and the dog.\nThe end — (the END)!\n"
	for _, c := range []struct {
		name   string
		args   []string
		stdin  io.Reader
		code   int
		stdout string
		stderr string
	}{
		{"counts", nil, strings.NewReader(text), 0, "lines 2\nwords 10\nbytes 44\n", ""},
		{"top", []string{"-top", "2"}, strings.NewReader(text), 0, "lines 2\nwords 10\nbytes 44\n4 the\n2 end\n", ""},
		{"ties by the alphabet, fewer than asked for", []string{"-top=9"}, strings.NewReader("b a -- a c"), 0, "lines 1\nwords 5\nbytes 10\n2 a\n1 b\n1 c\n", ""},
		{"one byte at a time", []string{"-top", "1"}, iotest.OneByteReader(strings.NewReader(text)), 0, "lines 2\nwords 10\nbytes 44\n4 the\n", ""},
		{"empty", []string{"-top", "3"}, strings.NewReader(""), 0, "lines 0\nwords 0\nbytes 0\n", ""},
		{"no text at all", nil, strings.NewReader("\xff\x00\xfe"), 0, "lines 1\nwords 1\nbytes 3\n", ""},
		{"no number", []string{"-top", "many"}, strings.NewReader(text), 2, "", `invalid value "many" for flag -top`},
		{"negative", []string{"-top", "-1"}, strings.NewReader(text), 2, "", "-top is -1"},
		{"unknown flag", []string{"-x"}, strings.NewReader(text), 2, "", "flag provided but not defined: -x"},
		{"argument", []string{"file.txt"}, strings.NewReader(text), 2, "", `unexpected argument "file.txt"`},
		{"help", []string{"-h"}, strings.NewReader(text), 0, "", "most frequent words"},
		{"broken input", nil, iotest.ErrReader(errors.New("gone")), 1, "", "reading: gone"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(c.args, c.stdin, &stdout, &stderr)
		if code != c.code || stdout.String() != c.stdout || !strings.Contains(stderr.String(), c.stderr) || (c.stderr == "") != (stderr.Len() == 0) {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q", c.name, code, &stdout, &stderr)
		}
	}
}

func TestBrokenOutput(t *testing.T) {
	_, broken := io.Pipe()
	broken.Close()
	var stderr bytes.Buffer
	if code := run(nil, strings.NewReader("a"), broken, &stderr); code != 1 || !strings.Contains(stderr.String(), "writing:") {
		t.Errorf("exit code %d, stderr %q", code, &stderr)
	}
}
