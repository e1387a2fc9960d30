//go:build hostile

package hostile

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

// program is the path of the ruedo that is attacked.
var program string

// Roles in which the test binary starts itself again, see roleVar.
const (
	roleVar    = "RUEDO_HOSTILE_ROLE"
	tokenVar   = "RUEDO_HOSTILE_TOKEN" // what the victim's caller shows
	roleVictim = "victim"
	roleBurner = "burner"
	roleSink   = "sink"
)

func TestMain(m *testing.M) {
	switch os.Getenv(roleVar) {
	case roleVictim:
		os.Exit(callSteadily(os.Args[len(os.Args)-1], os.Getenv(tokenVar)))
	case roleSink:
		os.Exit(takeAndForget())
	case roleBurner:
		burn()
	}
	clean := func() {}
	if program = os.Getenv("RUEDO_HOSTILE_BIN"); program == "" {
		dir, err := os.MkdirTemp("", "ruedo-hostile-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		clean = func() { _ = os.RemoveAll(dir) }
		program = filepath.Join(dir, "ruedo")
		if out, err := exec.Command("go", "build", "-o", program, "github.com/ruedo-dev/ruedo").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building ruedo: %v\n%s", err, out)
			clean()
			os.Exit(1)
		}
	}
	code := m.Run()
	clean()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}
