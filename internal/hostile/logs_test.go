//go:build hostile

package hostile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

// evil is a line that would clear a screen, forge log lines, and read
// backwards.
const evil = "a\x1b[2J\x1b]0;owned\x07b\r\nc\n{\"level\":\"ERROR\",\"msg\":\"forged\"}\n\u202egnp.exe\u2066\u200f\x9b31m\x00\xff\xfe\x7fd"

// harmless reports whether a text does nothing to a terminal: its only control
// characters are newlines and tabs.
func harmless(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, c := range s {
		if c != '\n' && c != '\t' && !unicode.IsPrint(c) {
			return false
		}
	}
	return true
}

// logRow is row 20.
func logRow() *row {
	const limit = 64 << 10
	gigabyte := w.New()
	gigabyte.Import("ruedo", "log", "iii>")
	gigabyte.Memory(17, -1)
	gigabyte.AsFunction(gigabyte.FuncLocals(">i", locals(1), w.I32(0), w.I32('x'), w.I32(1<<20), opMemoryFill,
		w.Ops(0x03, 0x40), w.CallWith(0, 0, 0, 1<<20),
		localGet(0), w.I32(1), opI32Add, localSet(0), localGet(0), w.I32(1024), opI32LtU, w.Ops(0x0d, 0), opEnd, w.I32(0)))
	line := w.FunctionWith([]string{hostLog}, w.I32(1600), opMemoryGrow, w.Drop(), w.I32(0), w.I32('x'), w.I32(100<<20), opMemoryFill, w.CallWith(0, 0, 0, 100<<20), w.I32(0))
	print := w.FunctionWith([]string{fdWrite}, w.I32(1600), opMemoryGrow, w.Drop(), w.I32(16), w.I32('x'), w.I32(100<<20), opMemoryFill,
		store(0, 16), store(4, 100<<20), w.CallWith(0, 2, 0, 1, 8), w.Drop(), w.I32(0))

	speaker := w.FunctionWith([]string{hostLog, fdWrite, "ruedo.head_write:ii>i", outputWrite},
		w.CallWith(0, 8, 0, int32(len(evil))),
		store(4096, 0), store(4100, int32(len(evil))), w.CallWith(1, 1, 4096, 1, 4104), w.Drop(), w.CallWith(1, 2, 4096, 1, 4104), w.Drop(),
		w.CallWith(3, 0, int32(len(evil))), w.Drop(), w.I32(0))
	speaker.Data(0, []byte(evil))
	failing := w.FunctionWith([]string{hostFail, hostLog}, w.CallWith(0, 5, 0, int32(len(evil))), w.CallWith(1, 8, 0, int32(len(evil))), w.I32(1))
	failing.Data(0, []byte(evil))
	// Its functions have such names, which appear in the trace of a trap.
	trapping := w.Function(w.Unreachable())
	named := w.Cat(trapping.Bytes(), w.Custom("name", w.Section(1, w.Vec(w.Cat(w.U32(0), w.Str(strings.ToValidUTF8(evil, "?")))))))
	starting := guest(func(m *w.Module) {
		m.Export(abi.ExportInitialize, m.Func(">", w.Unreachable()))
	})

	dropped := func(service string, atLeast uint64, within time.Duration) func(*bout) {
		return func(b *bout) {
			began := time.Now()
			res, err := b.call(b.service(service), nil)
			if err != nil {
				b.Errorf("call: %s: %v", fault.ReasonOf(err), err)
				return
			}
			b.bounded("the call", time.Since(began), within)
			logs := string(res.Info.GetLogs())
			want := fmt.Sprintf("dropped %d bytes", res.Info.GetLogsDropped())
			if res.Info.GetLogsDropped() < atLeast || len(logs) > limit+200 || !strings.Contains(tail(logs, 300), want) || !strings.Contains(tail(logs, 300), fmt.Sprint(limit)) {
				b.Errorf("%d bytes of logs, %d dropped; they end with %q", len(logs), res.Info.GetLogsDropped(), tail(logs, 200))
			}
		}
	}
	return &row{
		number: 20, name: "log of 1 GB, line of 100 MB, forged and steering lines", once: true,
		setup: func(b *bout) {
			l := timeout(10 * time.Second)
			l.LogBytes = limit
			l.MemoryBytes = 128 << 20
			for name, wasm := range map[string][]byte{
				"gigabyte": gigabyte.Bytes(), "line": line.Bytes(), "print": print.Bytes(),
				"speaker": speaker.Bytes(), "failing": failing.Bytes(), "trapping": named,
			} {
				if err := b.publish(b.ctx, b.service(name), wasm, l); err != nil {
					b.Errorf("publish %s: %v", name, err)
				}
			}
		},
		moves: []move{
			{"1 GB", dropped("gigabyte", 1<<30-limit, 10*time.Second)},
			{"a line of 100 MB", dropped("line", 100<<20-limit, 3*time.Second)},
			{"100 MB on stderr", dropped("print", 100<<20-limit-16, 3*time.Second)},
			{"what steers terminals", func(b *bout) {
				res, err := b.call(b.service("speaker"), nil)
				if err != nil {
					b.Errorf("call: %v", err)
					return
				}
				logs := string(res.Info.GetLogs())
				if !harmless(logs) || !strings.Contains(logs, `\x1b`) || !strings.Contains(logs, `\u202e`) || !strings.Contains(logs, `\xff`) {
					b.Errorf("the logs are not escaped: %q", logs)
				}
				// A log line is one line; printed text can have several.
				if first, _, _ := strings.Cut(logs, "\n"); !strings.Contains(first, "forged") || !strings.HasPrefix(first, "ERROR ") {
					b.Errorf("a line of log was made several: %q", logs)
				}
			}},
			{"a failure's message", func(b *bout) {
				_, err := b.call(b.service("failing"), nil)
				e := faultrpc.FromError(err)
				if e.Reason != fault.GuestError || !harmless(e.Message) {
					b.Errorf("got %s %q", e.Reason, e.Message)
				}
			}},
			{"names of functions in a trace", func(b *bout) {
				_, err := b.call(b.service("trapping"), nil)
				e := faultrpc.FromError(err)
				if e.Reason != fault.GuestTrap || !harmless(e.Message) || !harmless(fmt.Sprint(e.Meta)) {
					b.Errorf("got %s %q %q", e.Reason, e.Message, e.Meta)
				}
				for line := range strings.Lines(e.Meta["trace"]) {
					if strings.HasPrefix(line, "{") {
						b.Errorf("the trace has a forged line: %q", line)
					}
				}
			}},
			{"a publish that fails", func(b *bout) {
				wasm := w.Cat(b.unique(starting), w.Custom("name", w.Section(1, w.Vec(w.Cat(w.U32(2), w.Str(strings.ToValidUTF8(evil, "?")))))))
				err := b.publish(b.ctx, b.service("starting"), wasm, nil)
				if e := faultrpc.FromError(err); err == nil || !harmless(e.Message) || !harmless(fmt.Sprint(e.Meta)) {
					b.Errorf("got %v", err)
				}
			}},
			{"the command line, into a file", func(b *bout) { b.commandLine(false) }},
			{"the command line, on a terminal", func(b *bout) { b.commandLine(true) }},
			{"the logs of the processes", func(b *bout) { b.logsAreJSON() }},
		},
		peakCore: 64 << 20, peakRunner: 400 << 20,
	}
}

// commandLine calls services with the CLI and checks what it writes.
func (b *bout) commandLine(onTerminal bool) {
	for _, args := range [][]string{
		{"call", b.service("speaker")}, {"call", b.service("failing")}, {"call", b.service("trapping")},
		{"call", b.service("failing"), "-o", "json"},
		{"get", "services"}, {"describe", "service", b.service("speaker")},
	} {
		what := "ruedo " + strings.Join(args, " ")
		var stdout, stderr string
		var err error
		if onTerminal {
			stdout, err = b.onTerminal(args...)
			stdout = strings.ReplaceAll(stdout, "\r\n", "\n") // the terminal's own
		} else {
			stdout, stderr, err = b.ruedo(args...)
			if args[0] == "call" {
				stdout = "" // the guest's output, byte for byte: it can be a picture
			}
		}
		if err != nil {
			b.Errorf("%s: %v", what, err)
			continue
		}
		// The output of a guest can have several lines. Those of a message are
		// indented, so none of them looks as if the program had written it.
		if text := stdout + stderr; !harmless(text) || strings.Contains(text, "\n{\"level\"") && args[1] != b.service("speaker") {
			b.Errorf("%s writes %q", what, tail(text, 1000))
		}
		if args[0] != "describe" { // which shows the environment of a revision
			b.clean(what, stdout+stderr)
		}
	}
}

func (b *bout) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(b.ctx, program, args...)
	cmd.Env = environment(b.home, "RUEDO_APPLICATION_MODE=client", "RUEDO_CLIENT_HOST="+b.url, "TERM=xterm")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// ruedo runs a client command. A failure of the command is not an error here.
func (b *bout) ruedo(args ...string) (stdout, stderr string, err error) {
	var out, errOut bytes.Buffer
	cmd := b.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		return "", "", err
	}
	return out.String(), errOut.String(), nil
}

// onTerminal runs a client command on a terminal and returns what the terminal
// received.
func (b *bout) onTerminal(args ...string) (string, error) {
	near, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return "", fmt.Errorf("no terminal here: %w", err)
	}
	defer near.Close()
	if err := unix.IoctlSetPointerInt(int(near.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		return "", err
	}
	n, err := unix.IoctlGetInt(int(near.Fd()), unix.TIOCGPTN)
	if err != nil {
		return "", err
	}
	far, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return "", err
	}
	cmd := b.command(args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = far, far, far
	if err := cmd.Start(); err != nil {
		return "", err
	}
	_ = far.Close()
	var out bytes.Buffer
	_, _ = out.ReadFrom(near) // ends with EIO when the far end is closed
	_ = cmd.Wait()
	return out.String(), nil
}

// logsAreJSON checks that every line of every log is one JSON object that the
// process itself wrote, and looks for the secret.
func (b *bout) logsAreJSON() {
	for _, p := range b.processes() {
		for line := range strings.Lines(p.output(0)) {
			var entry struct{ Time, Level, Msg string }
			if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Time == "" || entry.Msg == "" {
				b.Errorf("a line in the log of %s is no record: %.300q", p.name, line)
			}
			if entry.Msg == "forged" {
				b.Errorf("a line in the log of %s is forged: %.300q", p.name, line)
			}
			if strings.Contains(line, secret) {
				b.Errorf("the secret is in the log of %s, in a record %q", p.name, entry.Msg)
			}
			if !harmless(line) {
				b.Errorf("a line in the log of %s would steer a terminal: %.300q", p.name, line)
			}
			if strings.Contains(entry.Msg, "panic") {
				b.Errorf("%s met a panic: %.500s", p.name, line)
			}
		}
	}
}
