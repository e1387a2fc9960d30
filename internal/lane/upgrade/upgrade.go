// Package upgrade carries the stream of a lane on a connection of its own, in place of
// one over HTTP/2, whose loops cost more than the calls that they carry.
//
// A runner asks for it with a GET over HTTP/1.1 of the procedure that opens a lane:
//
//	GET /ruedo.runner.v1.RunnerService/Attach HTTP/1.1
//	Connection: Upgrade
//	Upgrade: ruedo-lane/1
//
// The core answers 101, and what follows in both directions is what the stream of
// Connect consists of: messages, each after a prefix of five bytes, and one at the end
// that says why. So whatever bounds, decodes, authorizes and ends a stream does the same
// here. Flow control is TCP's.
//
// A core or a proxy that knows no such upgrade answers something else: then the lane is
// a stream over HTTP/2, which passes everywhere. See [Way].
package upgrade

import (
	"bufio"
	"encoding/binary"
	"io"
	"time"
)

// Protocol is what is asked for. Its number is that of the bytes after the switch; what
// the messages mean is agreed by package protocol.
const Protocol = "ruedo-lane/1"

// contentType is that of the stream.
const contentType = "application/connect+proto"

const (
	prefix = 5 // bytes before a message: flags and length
	// kept is the longest buffer of what is sent that is kept.
	kept = 128 << 10
	// readAhead is how much is read at a time, if it is there.
	readAhead = 16 << 10
)

// Conn is one end of a connection after the switch. One goroutine may read and another
// one write.
type Conn struct {
	conn io.ReadWriteCloser
	in   *bufio.Reader
	out  []byte // what is being written
}

func newConn(conn io.ReadWriteCloser, in io.Reader) *Conn {
	return &Conn{conn: conn, in: bufio.NewReaderSize(in, readAhead)}
}

// Send sends an encoded message. When the connection is broken, it fails with io.EOF:
// Read says why.
func (c *Conn) Send(message []byte) error {
	c.out = binary.BigEndian.AppendUint32(append(c.out[:0], 0), uint32(len(message)))
	c.out = append(c.out, message...)
	return c.flush()
}

// flush writes what is in out.
func (c *Conn) flush() error {
	_, err := c.conn.Write(c.out)
	if c.out = c.out[:0]; cap(c.out) > kept {
		c.out = nil
	}
	if err != nil {
		return io.EOF
	}
	return nil
}

// Read reads what the other end has sent.
func (c *Conn) Read(p []byte) (int, error) { return c.in.Read(p) }

// Close closes the connection.
func (c *Conn) Close() error { return c.conn.Close() }

// linger is how long the end that ends a stream waits for the other one to close the
// connection. Without that, what is still on its way would make the system drop the end
// of the stream.
const linger = time.Second
