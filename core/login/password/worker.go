package password

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"
)

// patience bounds a hash of a child, which gets nothing of processors that are busy.
const patience = 2 * time.Second

var errLate = errors.New("it takes too long")

// workers are children that hash passwords. There are as many as have been needed at
// the same time, until they end on their own.
type workers struct {
	command  []string
	patience time.Duration

	mu     sync.Mutex
	idle   []*worker
	closed bool
	all    sync.WaitGroup
}

// worker is a child.
type worker struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

// ask has a child answer. It fails if none can.
func (ws *workers) ask(q question) (a answer, err error) {
	for { // those that are idle may have ended since
		w, idle, err := ws.take()
		if err != nil {
			return a, err
		}
		if a, err = w.ask(q, ws.patience); err == nil {
			ws.put(w)
			return a, nil
		}
		_ = w.in.Close() // and so the child ends
		if !idle || errors.Is(err, errLate) {
			return a, fmt.Errorf("the process that hashes passwords: %w", err)
		}
	}
}

func (w *worker) ask(q question, patience time.Duration) (a answer, err error) {
	var late atomic.Bool
	timer := time.AfterFunc(patience, func() {
		late.Store(true)
		_ = w.cmd.Process.Kill()
	})
	defer timer.Stop()
	if err = json.NewEncoder(w.in).Encode(q); err == nil {
		err = w.out.Decode(&a)
	}
	if err != nil && late.Load() {
		err = errLate
	}
	return a, err
}

// take returns a child that is idle, or starts one.
func (ws *workers) take() (w *worker, idle bool, err error) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.closed {
		return nil, false, errors.New("no passwords are hashed any more")
	}
	if last := len(ws.idle) - 1; last >= 0 {
		w, ws.idle = ws.idle[last], ws.idle[:last]
		return w, true, nil
	}
	cmd := exec.Command(ws.command[0], ws.command[1:]...)
	cmd.Env = []string{"GOMAXPROCS=1"} // and no secrets
	cmd.SysProcAttr = attr()
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, false, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, false, err
	}
	if err := cmd.Start(); err != nil {
		return nil, false, err
	}
	ws.all.Go(func() { _ = cmd.Wait() }) // how it ended does not matter: ask notices that it has
	return &worker{cmd, in, json.NewDecoder(out)}, false, nil
}

func (ws *workers) put(w *worker) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.closed {
		_ = w.in.Close()
		return
	}
	ws.idle = append(ws.idle, w)
}

// close ends the children and waits for them.
func (ws *workers) close() {
	ws.mu.Lock()
	ws.closed = true
	for _, w := range ws.idle {
		_ = w.in.Close()
	}
	ws.idle = nil
	ws.mu.Unlock()
	ws.all.Wait()
}
