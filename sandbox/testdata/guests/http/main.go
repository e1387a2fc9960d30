// The http guest of the sandbox's tests, over the bare functions of the contract:
// the path says what it does.
package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"github.com/ruedo-dev/ruedo/internal/abi"
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

//go:wasmimport ruedo body_open
func bodyOpen() int32

//go:wasmimport ruedo output_flush
func outputFlush() int32

//go:wasmimport ruedo trailers_write
func trailersWrite(p unsafe.Pointer, n uint32) int32

//go:wasmimport ruedo stream_open
func streamOpen(p unsafe.Pointer, n uint32) int32

//go:wasmimport ruedo stream_head
func streamHead(fd int32, part uint32, p unsafe.Pointer, n uint32) int32

//go:wasmexport ruedo_abi_1
func marker() {}

//go:wasmexport ruedo_http
func markerHTTP() {}

// calls is how many calls this memory has seen.
var calls int

//go:wasmexport ruedo_call
func call() int32 {
	calls++
	buf := make([]byte, 4096)
	head := fields(buf[:headRead(at(buf))])
	path, arg, _ := strings.Cut(strings.TrimPrefix(head[abi.HeadPath], "/"), "/")
	do, ok := map[string]func(string) error{
		"whole": whole, "echo": echo, "blocking": blocking, "ticks": ticks, "dial": dial, "leave": leave,
		"many": many, "trailers": trailers, "flush": flush, "spin": spin, "fail": failLate, "idle": idle, "heads": heads, "half": half, "clean": clean, "descriptors": descriptors,
	}[path]
	if !ok {
		do = func(string) error { return fmt.Errorf("nothing is at %q", path) }
	}
	if err := do(arg); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func at(b []byte) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.SliceData(b)), uint32(len(b))
}

func part(fd int32, part uint32, b []byte) int32 {
	p, n := at(b)
	return streamHead(fd, part, p, n)
}

func fields(b []byte) map[string]string {
	m := map[string]string{}
	for {
		k, v, rest, ok := abi.NextField(b)
		if !ok {
			return m
		}
		m[k], b = v, rest
	}
}

func respond(pairs ...string) {
	var b []byte
	for n := 0; n < len(pairs); n += 2 {
		b = abi.AppendField(b, pairs[n], pairs[n+1])
	}
	headWrite(at(b))
}

// own returns the file of the call itself, for Go's poller.
func own() *os.File {
	fd := int(bodyOpen())
	if err := syscall.SetNonblock(fd, true); err != nil {
		panic(err)
	}
	return os.NewFile(uintptr(fd), "body")
}

// whole answers in one piece, with the size of the input and what it was.
func whole(string) error {
	b := make([]byte, max(inputSize(), 0))
	n := inputRead(at(b))
	respond(abi.HeadStatus, "201", "X-Calls", fmt.Sprint(calls))
	outputWrite(at(fmt.Appendf(nil, "%d %s", inputSize(), b[:n])))
	return nil
}

// echo copies the body to the answer, with Go's poller.
func echo(string) error {
	f := own()
	defer f.Close()
	respond(abi.HeadStatus, "200", "content-type", "text/plain")
	_, err := io.Copy(onlyWriter{f}, f)
	if t := make([]byte, 4096); err == nil {
		if n := part(int32(f.Fd()), 1, t); n > 0 {
			trailersWrite(at(t[:n]))
		}
	}
	return err
}

type onlyWriter struct{ io.Writer }

// blocking is echo with the functions that wait.
func blocking(string) error {
	b := make([]byte, 1000)
	for {
		n := inputRead(at(b))
		if n <= 0 {
			if n < 0 {
				return fmt.Errorf("input_read: %d", n)
			}
			return nil
		}
		for p := b[:n]; len(p) > 0; {
			w := outputWrite(at(p))
			if w < 0 {
				return fmt.Errorf("output_write: %d", w)
			}
			p = p[w:]
		}
	}
}

// ticks reads the body, ticks and answers, all at the same time.
func ticks(string) error {
	f := own()
	defer f.Close()
	respond(abi.HeadStatus, "200")
	read := make(chan int)
	go func() {
		n, _ := io.Copy(io.Discard, f)
		read <- int(n)
	}()
	t := time.NewTicker(2 * time.Millisecond)
	defer t.Stop()
	for seen := 0; ; {
		select {
		case <-t.C:
			seen++
			if _, err := fmt.Fprintf(f, "tick\n"); err != nil {
				return err
			}
		case n := <-read:
			_, err := fmt.Fprintf(f, "read %d after %t\n", n, seen > 0)
			return err
		}
	}
}

func open(url string) (int32, *os.File) {
	b := abi.AppendField(nil, abi.HeadURL, url)
	fd := streamOpen(at(b))
	if fd < 0 {
		return fd, nil
	}
	_ = syscall.SetNonblock(int(fd), true)
	return fd, os.NewFile(uintptr(fd), url)
}

// connected waits for the head of a stream.
func connected(f *os.File) map[string]string {
	raw, _ := f.SyscallConn()
	var head []byte
	_ = raw.Read(func(fd uintptr) bool {
		b := make([]byte, 512)
		for {
			n := part(int32(fd), 0, b)
			switch {
			case n == abi.ErrAgain:
				return false
			case n <= 0:
				return true
			}
			head = append(head, b[:n]...)
		}
	})
	return fields(head)
}

// dial sends the input to an address, half closes, and answers with what came.
func dial(url string) error {
	fd, f := open(url)
	if f == nil {
		return fmt.Errorf("stream_open: %d", fd)
	}
	defer f.Close()
	head := connected(f)
	if e := head[abi.HeadError]; e != "" {
		_, err := f.Read(make([]byte, 1))
		respond(abi.HeadStatus, "502")
		outputWrite(at(fmt.Appendf(nil, "%s: %s; %v", e, head[abi.HeadMessage], err)))
		return nil
	}
	in := make([]byte, inputSize())
	inputRead(at(in))
	go func() {
		_, _ = f.Write(in)
		_ = syscall.Shutdown(int(f.Fd()), 2)
	}()
	got, err := io.ReadAll(f)
	outputWrite(at(got))
	return err
}

// leave returns while goroutines wait for streams and timers.
func leave(how string) error {
	f := own()
	for n := range 20 {
		go func() { _, _ = f.Read(make([]byte, 10)) }()
		go func() { time.Sleep(time.Hour) }()
		if fd, f := open(fmt.Sprintf("tcp://host:%d", n+1)); f != nil {
			go func() { _, _ = f.Read(make([]byte, 10)) }()
			go func() { _, _ = f.Write(make([]byte, 200<<10)) }()
		} else if how == "" {
			return fmt.Errorf("stream_open: %d", fd)
		}
	}
	runtime.Gosched()
	time.Sleep(time.Millisecond)
	switch how {
	case "loop":
		for {
		}
	case "wait":
		select {}
	case "exit":
		os.Exit(3)
	case "panic":
		go func() { panic("in a goroutine") }()
		time.Sleep(time.Hour)
	}
	_, err := fmt.Fprintf(f, "calls %d", calls)
	return err
}

// many opens streams until the host refuses, closes one and opens another.
func many(string) error {
	n, last := 0, int32(0)
	for {
		fd, f := open("tcp://host:1")
		if f == nil {
			last = fd
			break
		}
		runtime.KeepAlive(f)
		files = append(files, f)
		n++
	}
	a, b := bodyOpen(), int32(0)
	files[0].Close()
	fd, f := open("tcp://host:2")
	if f != nil {
		b = 1
	}
	_ = fd
	outputWrite(at(fmt.Appendf(nil, "%d streams, then %d; the body %d; again %d", n, last, a, b)))
	return nil
}

var files []*os.File

// trailers writes the input as trailers, twice.
func trailers(string) error {
	b := make([]byte, inputSize())
	inputRead(at(b))
	first := trailersWrite(at(abi.AppendField(nil, "first", "1")))
	outputWrite(at(fmt.Appendf(nil, "%d %d", first, trailersWrite(at(b)))))
	return nil
}

// heads writes the input as a head, twice.
func heads(string) error {
	b := make([]byte, inputSize())
	inputRead(at(b))
	outputWrite(at(fmt.Appendf(nil, "%d %d", headWrite(at(b)), headWrite(at(b)))))
	return nil
}

// flush writes, flushes and returns, computes or waits.
func flush(how string) error {
	respond(abi.HeadStatus, "200")
	before, isCount := strings.CutPrefix(how, "after/")
	n, _ := strconv.Atoi(before)
	compute(n)
	outputWrite(at([]byte("first")))
	outputFlush()
	if isCount {
		compute(1)
	}
	switch how {
	case "compute":
		for began := time.Now(); time.Since(began) < 50*time.Millisecond; {
		}
	case "wait":
		time.Sleep(5 * time.Millisecond)
	}
	outputWrite(at([]byte(" last")))
	return nil
}

// compute computes for a part of a slice, n times.
func compute(n int) {
	for range 100 * n {
		computed = computed*31 + 7
	}
}

var computed uint32

// spin polls the body with thousands of subscriptions.
func spin(string) error {
	const n = 4096
	fd := bodyOpen()
	subs, events := make([]byte, 48*n), make([]byte, 32*n)
	for i := range n {
		subs[48*i], subs[48*i+8], subs[48*i+16] = byte(i), 1, byte(fd)
	}
	var got uint32
	errno := pollOneoff(unsafe.Pointer(&subs[0]), unsafe.Pointer(&events[0]), n, unsafe.Pointer(&got))
	outputWrite(at(fmt.Appendf(nil, "%d events, error %d", got, errno)))
	return nil
}

//go:wasmimport wasi_snapshot_preview1 poll_oneoff
func pollOneoff(in, out unsafe.Pointer, n uint32, got unsafe.Pointer) uint32

// failLate fails after the answer began.
func failLate(string) error {
	f := own()
	if _, err := f.Write(make([]byte, 40<<10)); err != nil {
		return err
	}
	return fmt.Errorf("too late")
}

// clean answers, waits until its caller is gone, and then takes its time to clean up.
func clean(how string) error {
	outputWrite(at([]byte("begun")))
	outputFlush()
	var gone error
	switch how {
	case "poller":
		_, gone = own().Read(make([]byte, 1))
	case "blocking":
		gone = fmt.Errorf("input_read: %d", inputRead(at(make([]byte, 1))))
	case "sleeping":
		for outputWrite(at([]byte("x"))) > 0 {
			time.Sleep(5 * time.Millisecond)
		}
		gone = fmt.Errorf("output_write: %d; input_read: %d", outputWrite(at([]byte("x"))), inputRead(at(make([]byte, 1))))
	}
	time.Sleep(20 * time.Millisecond)
	_, f := open("tcp://host:7")
	_, _ = f.Write([]byte("unlock"))
	_ = syscall.Shutdown(int(f.Fd()), 2)
	got, _ := io.ReadAll(f)
	fmt.Fprintf(os.Stderr, "%v, then %s\n", gone, got)
	return nil
}

func idle(string) error {
	_, err := own().Read(make([]byte, 1))
	return err
}

// half ends the answer, and reads on.
func half(string) error {
	f := own()
	defer f.Close()
	_, _ = f.Write([]byte("answered"))
	_ = syscall.Shutdown(int(f.Fd()), 2)
	n, err := io.Copy(io.Discard, f)
	_, werr := f.Write([]byte("more"))
	fmt.Fprintf(os.Stderr, "read %d, then %v\n", n, werr)
	return err
}

//go:wasmimport wasi_snapshot_preview1 fd_fdstat_get
func fdstatGet(fd int32, p unsafe.Pointer) uint32

//go:wasmimport wasi_snapshot_preview1 fd_fdstat_set_flags
func fdstatSetFlags(fd int32, flags uint32) uint32

//go:wasmimport wasi_snapshot_preview1 fd_renumber
func renumber(from, to int32) uint32

//go:wasmimport wasi_snapshot_preview1 fd_close
func fdClose(fd int32) uint32

//go:wasmimport wasi_snapshot_preview1 fd_sync
func fdSync(fd int32) uint32

//go:wasmimport wasi_snapshot_preview1 fd_read
func fdRead(fd int32, list unsafe.Pointer, n uint32, size unsafe.Pointer) uint32

//go:wasmimport wasi_snapshot_preview1 sock_recv
func sockRecv(fd int32, list unsafe.Pointer, n, flags uint32, size, out unsafe.Pointer) uint32

//go:wasmimport wasi_snapshot_preview1 sock_send
func sockSend(fd int32, list unsafe.Pointer, n, flags uint32, size unsafe.Pointer) uint32

//go:wasmimport wasi_snapshot_preview1 sock_shutdown
func sockShutdown(fd, how int32) uint32

// descriptors answers with what the functions of WASI return for a stream.
func descriptors(string) error {
	fd := bodyOpen()
	var stat [24]byte
	var size, out uint32
	buf := make([]byte, 3)
	list := [2]uint32{uint32(uintptr(unsafe.Pointer(&buf[0]))), 3}
	// They are calls, as only calls are evaluated in order.
	kind, flags, moved, text := func() byte { return stat[0] }, func() byte { return stat[2] }, func() uint32 { return size }, func() string { return string(buf) }
	results := []any{
		"again", bodyOpen() - fd,
		"stat", fdstatGet(fd, unsafe.Pointer(&stat)), kind(), flags(),
		"append", fdstatSetFlags(fd, 1), "nonblock", fdstatSetFlags(fd, 4), fdstatGet(fd, unsafe.Pointer(&stat)), flags(),
		"renumber", renumber(fd, fd+1), "sync", fdSync(fd), "sync nothing", fdSync(fd + 1),
		"recv", sockRecv(fd, unsafe.Pointer(&list), 1, 0, unsafe.Pointer(&size), unsafe.Pointer(&out)), moved(), text(),
		"peek", sockRecv(fd, unsafe.Pointer(&list), 1, 1, unsafe.Pointer(&size), unsafe.Pointer(&out)),
		"end", fdRead(fd, unsafe.Pointer(&list), 1, unsafe.Pointer(&size)), moved(),
		"outside", fdRead(fd, unsafe.Pointer(^uintptr(0)), 1, unsafe.Pointer(&size)),
		"many pieces", fdRead(fd, unsafe.Pointer(&list), 1<<20, unsafe.Pointer(&size)),
		"send", sockSend(fd, unsafe.Pointer(&list), 1, 0, unsafe.Pointer(&size)), moved(),
		"shut nothing", sockShutdown(fd, 0), "shut all and more", sockShutdown(fd, 7), "shut reading", sockShutdown(fd, 1),
		"close", fdClose(fd), "close again", fdClose(fd), "read", fdRead(fd, unsafe.Pointer(&list), 1, unsafe.Pointer(&size)),
		"a head", part(fd, 0, buf),
	}
	outputWrite(at(fmt.Appendln(nil, results...)))
	return nil
}

func main() {}
