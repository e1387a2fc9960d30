// Package body is the input of a call, which may have to be sent again, and counts the
// bytes that have passed.
package body

import (
	"bytes"
	"io"
	"os"
	"sync/atomic"
)

// Body is the input of a call. It can be sent again if it is in memory, or has not
// been read.
type Body struct {
	// Size in bytes; -1 if it is not known.
	Size  int64
	input io.Reader
	sent  func(done, total int64)
	read  atomic.Bool
}

// New returns the body for an input. sent reports how much of it was sent; it can be
// nil.
func New(input io.Reader, sent func(done, total int64)) *Body {
	return &Body{Size: sizeOf(input), input: input, sent: sent}
}

// Read reads the input.
func (b *Body) Read(p []byte) (int, error) {
	b.read.Store(true)
	return b.input.Read(p)
}

// Reader returns the body of a request, which leaves an input in memory as it is.
func (b *Body) Reader() io.ReadCloser {
	var r io.Reader = b
	if memory, ok := b.input.(*bytes.Reader); ok {
		own := *memory
		r = &own
	}
	if b.sent != nil {
		return &Counted{ReadCloser: io.NopCloser(r), Total: b.Size, Step: b.sent}
	}
	return io.NopCloser(r)
}

// Again returns the function with which net/http sends an input in memory again,
// for a connection that the core has just closed.
func (b *Body) Again() func() (io.ReadCloser, error) {
	if _, memory := b.input.(*bytes.Reader); !memory {
		return nil
	}
	return func() (io.ReadCloser, error) { return b.Reader(), nil }
}

// Whole reports whether all of the input can be sent from now on.
func (b *Body) Whole() bool { return !b.read.Load() }

// sizeOf returns how many bytes a reader has left; -1 if that is not known.
func sizeOf(r io.Reader) int64 {
	switch r := r.(type) {
	case nil:
		return 0
	case interface{ Len() int }:
		return int64(r.Len())
	case *os.File:
		st, err := r.Stat()
		if err != nil || !st.Mode().IsRegular() {
			return -1
		}
		at, err := r.Seek(0, io.SeekCurrent)
		if err != nil || at > st.Size() {
			return -1
		}
		return st.Size() - at
	}
	return -1
}

// Counted is a body that reports how much of it was read.
type Counted struct {
	io.ReadCloser
	Total int64
	Step  func(done, total int64)
	done  int64
}

func (c *Counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if n > 0 {
		c.done += int64(n)
		c.Step(c.done, c.Total)
	}
	return n, err
}
