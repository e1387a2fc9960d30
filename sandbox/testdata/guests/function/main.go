// The function guest of the sandbox's tests: JSON in, JSON out; the field "do"
// says what else.
package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
	"unsafe"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/sandbox/testdata/guests/work"
)

//go:wasmimport ruedo input_size
func inputSize() int64

//go:wasmimport ruedo input_read
func inputRead(p unsafe.Pointer, n uint32) int32

//go:wasmimport ruedo output_write
func outputWrite(p unsafe.Pointer, n uint32) int32

//go:wasmimport ruedo head_read
func headRead(p unsafe.Pointer, n uint32) int32

//go:wasmimport ruedo head_write
func headWrite(p unsafe.Pointer, n uint32) int32

//go:wasmimport ruedo fail
func fail(code uint32, p unsafe.Pointer, n uint32)

//go:wasmimport ruedo log
func log(level int32, p unsafe.Pointer, n uint32)

//go:wasmexport ruedo_abi_1
func marker() {}

type order struct {
	Do   string `json:"do"`
	Text string `json:"text"`
	N    int    `json:"n"`
	// Step of the work at which to end otherwise, and How.
	Step int    `json:"step"`
	How  string `json:"how"`
}

type answer struct {
	Text  string            `json:"text"`
	N     int               `json:"n"`
	Head  map[string]string `json:"head,omitempty"`
	Count int               `json:"count"`
	Left  int               `json:"left"`
}

var (
	count int
	keep  [][]byte
	state = work.After(0)
)

func ptr(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

func sayLog(level int32, s string) { log(level, ptr([]byte(s)), uint32(len(s))) }

func read() []byte {
	in := make([]byte, inputSize())
	for n := 0; n < len(in); {
		k := inputRead(ptr(in[n:]), uint32(len(in)-n))
		if k <= 0 {
			break
		}
		n += int(k)
	}
	return in
}

func head() map[string]string {
	b := make([]byte, 4096)
	b = b[:headRead(ptr(b), uint32(len(b)))]
	h := map[string]string{}
	for {
		k, v, rest, ok := abi.NextField(b)
		if !ok {
			return h
		}
		h[k], b = v, rest
	}
}

//go:wasmexport ruedo_call
func call() int32 {
	count++
	var o order
	if err := json.Unmarshal(read(), &o); err != nil {
		msg := []byte("bad input: " + err.Error())
		fail(3, ptr(msg), uint32(len(msg)))
		return 1
	}
	a := answer{Text: strings.ToUpper(o.Text), N: o.N * 2, Count: count, Left: state.Left()}
	switch o.Do {
	case "head":
		a.Head = head()
		h := abi.AppendField(nil, abi.HeadContentType, "application/json")
		if r := headWrite(ptr(h), uint32(len(h))); r != int32(len(h)) {
			panic(r)
		}
	case "log":
		sayLog(4, o.Text)
		fmt.Println("printed", o.Text)
		fmt.Fprint(os.Stderr, "unfinished")
	case "env":
		a.Text = strings.Join(os.Environ(), " ") + "|" + strings.Join(os.Args, " ")
	case "files":
		entries, err := os.ReadDir("/")
		_, err2 := os.ReadFile("../../etc/passwd")
		_, err3 := os.Stat("/app/config.yaml")
		err4 := os.WriteFile("/state", nil, 0o600)
		st, err5 := os.Stat(".")
		a.Text = fmt.Sprint(len(entries), err, "|", errors.Is(err2, fs.ErrNotExist), errors.Is(err3, fs.ErrNotExist), "|", err4, "|", err5 == nil && st.IsDir())
	case "open":
		if _, err := os.ReadFile(o.Text); err != nil && o.N > 0 {
			msg := []byte(err.Error())
			fail(uint32(o.N), ptr(msg), uint32(len(msg)))
		}
	case "clock":
		t := time.Now()
		time.Sleep(20 * time.Millisecond)
		a.N = int(time.Since(t) / time.Millisecond)
		a.Text = t.UTC().Format(time.RFC3339)
	case "random":
		b := make([]byte, 8)
		rand.Read(b)
		a.Text = fmt.Sprintf("%x", b)
	case "sleep":
		time.Sleep(time.Hour)
	case "loop":
		for i := 0; ; i++ {
			count = i
		}
	case "eat":
		eat()
	case "work":
		a.Text = fmt.Sprintf("%x", state.Do(o.N, func(step int) {
			if o.How != "" && step == o.Step {
				end(o.How)
			}
		}))
	case "panic":
		panic("as ordered")
	case "nil":
		var p *order
		a.N = p.N
	case "exit":
		os.Exit(o.N)
	case "status":
		return int32(o.N)
	case "fail":
		msg := []byte(o.Text)
		fail(uint32(o.N), ptr(msg), uint32(len(msg)))
		return 0
	case "write":
		b := make([]byte, o.N)
		a.N = int(outputWrite(ptr(b), uint32(len(b))))
	case "goroutines":
		c := make(chan int)
		for i := range 50 {
			go func() { c <- i }()
		}
		for range 50 {
			a.N += <-c
		}
	case "recurse":
		a.N = recurse(0)
	}
	out, _ := json.Marshal(a)
	if n := outputWrite(ptr(out), uint32(len(out))); n < 0 {
		return n
	}
	return 0
}

func eat() {
	for {
		keep = append(keep, make([]byte, 1<<20))
		keep[len(keep)-1][0] = 1
	}
}

func end(how string) {
	switch how {
	case "panic":
		panic("as ordered")
	case "exit":
		os.Exit(7)
	case "eat":
		eat()
	case "loop":
		for {
			count++
		}
	}
}

func recurse(n int) int {
	var frame [4096]byte
	frame[n%len(frame)] = 1
	if n < 0 {
		return 0
	}
	return recurse(n+1) + int(frame[(n+1)%len(frame)])
}

func main() {}
