package compile

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"time"
)

// order is what the parent sends first: a length of 4 bytes, big-endian, then
// this as JSON. The module follows, in Size bytes. The pipe then stays open:
// its end means that the parent is gone.
type order struct {
	Identity identity
	Dir      string // where the code goes
	Size     int64  // of the module
	Workers  int
	Timeout  time.Duration
	CPU      time.Duration
	Memory   int64
	MaxCode  int64 // bytes of the compiled file
	Nice     int
}

const (
	maxOrder  = 64 << 10
	maxModule = 1 << 30
)

func (o order) write(w io.Writer, wasm []byte) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if _, err := w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)); err != nil {
		return err
	}
	_, err = w.Write(wasm)
	return err
}

// readOrder reads all but the module.
func readOrder(r io.Reader) (o order, err error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return o, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxOrder {
		return o, errors.New("this is not what a compiler process is sent")
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return o, err
	}
	if err := json.Unmarshal(text, &o); err != nil {
		return o, err
	}
	if o.Dir == "" || o.Size < 0 || o.Size > maxModule || o.CPU <= 0 || o.Timeout <= 0 || o.Memory <= 0 {
		return o, errors.New("what the compiler process was sent lacks limits")
	}
	return o, nil
}

// verdict is how a child ended, as far as it can tell.
type verdict string

const (
	verdictReady    verdict = "ready" // limits are set; the module comes next
	verdictDone     verdict = "done"
	verdictInvalid  verdict = "invalid"   // Text says why
	verdictPanic    verdict = "panic"     // of the compiler; Text says why
	verdictCPU      verdict = "cpu"       // exceeded its CPU time
	verdictWall     verdict = "wall"      // exceeded its wall-clock time
	verdictMemory   verdict = "memory"    // exceeded its memory
	verdictSlow     verdict = "slow"      // reading the code back takes too long
	verdictHeavy    verdict = "heavy"     // reading the code back takes too much memory
	verdictTooLarge verdict = "too large" // the code
	verdictStranger verdict = "stranger"  // another identity
	verdictDisk     verdict = "disk"      // it cannot write; Text says why
	verdictFault    verdict = "fault"     // Text says why
)

// answer is one line of JSON on the child's stdout: first one that says that it
// is ready, then one that says how it ended.
type answer struct {
	Verdict verdict
	Text    string        `json:",omitempty"`
	Compile time.Duration `json:",omitempty"`
	Load    time.Duration `json:",omitempty"` // CPU time of reading back
	Memory  int64         `json:",omitempty"` // peak, in bytes
	Full    bool          `json:",omitempty"` // with verdictDisk: the disk is full
}

func (a answer) write(w io.Writer) error {
	a.Text = clean(a.Text)
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

// readAnswers reports whether the child got ready, and returns its last answer,
// or nil.
func readAnswers(stdout []byte) (ready bool, last *answer) {
	for line := range bytes.Lines(stdout) {
		a := new(answer)
		if !bytes.HasSuffix(line, []byte("\n")) || json.Unmarshal(line, a) != nil {
			break
		}
		if a.Verdict == verdictReady {
			ready = true
		} else {
			last = a
		}
	}
	return ready, last
}

// replies retains what a child says on stdout.
type replies struct {
	capped
	done chan answer // receives the last answer of a child that has compiled its module
}

const maxStdout = 64 << 10

func newReplies() *replies {
	return &replies{capped: capped{max: maxStdout}, done: make(chan answer, 1)}
}

func (r *replies) Write(p []byte) (int, error) {
	n, err := r.capped.Write(p)
	if ready, last := readAnswers(r.buf); ready && last != nil && last.Verdict == verdictDone {
		select {
		case r.done <- *last:
		default: // it has said so before
		}
	}
	return n, err
}

// capped retains the first bytes that are written to it and drops the rest.
type capped struct {
	max int
	buf []byte
}

func (c *capped) Write(p []byte) (int, error) {
	c.buf = append(c.buf, p[:min(len(p), c.max-len(c.buf))]...)
	return len(p), nil
}

func (c *capped) String() string { return string(c.buf) }
