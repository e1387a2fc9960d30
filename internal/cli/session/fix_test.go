package session

import (
	"testing"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// The core says what to do, the CLI which command does it.
func TestTheCLIAddsItsCommands(t *testing.T) {
	for name, tt := range map[string]struct {
		err  *fault.Error
		want string
	}{
		"a command":         {fault.New(fault.ServiceNotFound, "none").WithFix("list the services"), "ruedo get services"},
		"a suggestion":      {fault.New(fault.ServiceNotFound, "none").WithFix("did you mean greet?"), "did you mean greet?"},
		"a fact":            {fault.New(fault.InputInvalid, "bad").With("decorator", "d", "service", "greet").WithFix("look"), "ruedo call greet --use"},
		"without a fact":    {fault.New(fault.InputInvalid, "bad").WithFix("send less"), "send less"},
		"the second fact":   {fault.New(fault.Conflict, "changed").With("decorator", "d").WithFix("look"), "look at it with: ruedo describe decorator d; then try again"},
		"a port":            {fault.New(fault.PortInUse, "taken").WithFix("choose another port"), "stop that process, or choose another port with --port or RUEDO_SERVER_PORT"},
		"the port for apps": {fault.New(fault.PortInUse, "taken").With("apps", "127.0.0.1:7835").WithFix("choose another port"), "stop that process, or choose another address with --apps-listen"},
		"a peer's port":     {fault.New(fault.PortInUse, "taken").With("peer_address", "127.0.0.1:7834").WithFix("choose another port"), "stop that process, or choose another address with --peer-address"},
		"no advice":         {fault.New(fault.GuestTrap, "trapped").WithFix("see its logs"), "see its logs"},
	} {
		if got := fix(tt.err); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
