package cli_test

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// nobody is the user of the system who owns nothing.
const nobody = "65534"

// strangers is a directory that every user of this machine can enter, with the program in
// it; "" if this process cannot be another user.
type strangers string

// newStrangers makes it.
func newStrangers(t *testing.T, bin string) strangers {
	t.Helper()
	if _, err := exec.LookPath("setpriv"); err != nil || os.Geteuid() != 0 {
		return ""
	}
	dir, err := os.MkdirTemp("", "ruedo-strangers-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := copyFile(filepath.Join(dir, "ruedo"), filepath.Join(bin, "ruedo")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := strangers(dir)
	if err := exec.Command("setpriv", s.args(dir, "version")...).Run(); err != nil {
		t.Logf("there is no other user: nobody cannot run what is in %s: %v", dir, err)
		return ""
	}
	return s
}

func copyFile(to, from string) error {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, r); err != nil {
		_ = w.Close()
		return err
	}
	return w.Close()
}

// args are those of setpriv that run the program as nobody, in a directory.
func (s strangers) args(dir string, args ...string) []string {
	return append([]string{
		"--reuid=" + nobody, "--regid=" + nobody, "--clear-groups", "env", "--chdir=" + dir, "HOME=" + dir, "TMPDIR=" + dir, "XDG_CACHE_HOME=" + dir, filepath.Join(string(s), "ruedo"),
	}, args...)
}

// setup makes $STRANGER, the directory of one script.
func (s strangers) setup(e *testscript.Env) error {
	if s == "" {
		return nil
	}
	dir, err := os.MkdirTemp(string(s), "")
	if err != nil {
		return err
	}
	e.Setenv("STRANGER", dir)
	return os.Chmod(dir, 0o755)
}

// cmd runs ruedo as another user of this machine, and expects an exit code. The script
// asks first whether there is one: [!stranger].
//
//	stranger CODE ARG...
func (s strangers) cmd(ts *testscript.TestScript, neg bool, args []string) {
	wantExit(ts, args[0], ts.Exec("setpriv", s.args(ts.Getenv("STRANGER"), args[1:]...)...))
}

// address returns an address of this machine that others could reach; "" if it has none.
func address() string {
	all, _ := net.InterfaceAddrs() // without any, it has none
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	return ""
}
