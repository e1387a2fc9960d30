//go:build hostile

package hostile

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
)

// takeAndForget is a server process that reads what it receives, stores nothing
// and refuses everything. What it costs the victim is the price of such traffic
// on this machine, whatever server receives it. It prints its URL, and serves
// until its stdin ends.
func takeAndForget() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		_, _ = os.Stderr.WriteString(err.Error())
		return 1
	}
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusTooManyRequests)
		}))
	}()
	_, _ = os.Stdout.WriteString("http://" + l.Addr().String() + "\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// besideASink makes the moves once against a sink instead of the core.
func besideASink(b *bout, moves []move) {
	cmd := role(roleSink)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Errorf("a sink: %v", err)
		return
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Errorf("a sink: %v", err)
		return
	}
	if err := cmd.Start(); err != nil {
		b.Errorf("a sink: %v", err)
		return
	}
	defer func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	}()
	url, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.Errorf("a sink: %v", err)
		return
	}
	c := *b.cluster
	c.url = strings.TrimSpace(url)
	sunk := &bout{cluster: &c, ctx: b.ctx, row: b.row, serial: b.serial, answered: b.answered}
	for _, m := range moves {
		m.do(sunk) // its verdict on the answers does not matter
	}
}
