package sandboxed

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// RolePrefix starts the -role of the processes that Serve runs.
const RolePrefix = "sandbox:"

// Serve is a process for measurements that must not be disturbed, or that would
// disturb others. It sends its result to the parent as JSON.
func Serve(ctx context.Context, part string, arg []byte) (any, error) {
	switch part {
	case "memory":
		return served(ctx, arg, serveMemory)
	case "neighbour":
		return served(ctx, arg, serveNeighbour)
	case "kill":
		return served(ctx, arg, serveKill)
	}
	return nil, fmt.Errorf("no part %q", part)
}

func served[Arg, Result any](ctx context.Context, text []byte, serve func(context.Context, Arg) (Result, error)) (any, error) {
	var arg Arg
	if err := json.Unmarshal(text, &arg); err != nil {
		return nil, err
	}
	return serve(ctx, arg)
}

// childLimit is how long a child can take: a guest that nothing stops can hold
// up its whole process.
const childLimit = 60 * time.Second

// child runs a part in a process of its own.
func child[Result any](ctx context.Context, part string, arg any) (Result, error) {
	var out Result
	text, err := json.Marshal(arg)
	if err != nil {
		return out, err
	}
	self, err := os.Executable()
	if err != nil {
		return out, err
	}
	ctx, cancel := context.WithTimeout(ctx, childLimit)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, self, "-role", RolePrefix+part, "-next", string(text))
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		return out, fmt.Errorf("%s: %w\n%s", text, err, stderr.Bytes())
	}
	return out, json.Unmarshal(stdout.Bytes(), &out)
}
