package session

import (
	"os"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
)

// advice is what the CLI says to do about an error. Rooms below it say what to do
// in general, as their reader may be a program; here it is a command.
type advice struct {
	fact string // that the error must have, for example "service"; "" needs none
	text string // {} stands for the value of the fact
}

// advices is the one table of them. Of a reason's rows the first counts whose
// fact the error has.
var advices = map[fault.Reason][]advice{
	fault.ServiceNotFound:    {{"", "ruedo get services"}},
	fault.DecoratorNotFound:  {{"", "ruedo get decorators"}},
	fault.RunnerNotFound:     {{"", "ruedo get runners"}},
	fault.CoreNotFound:       {{"", "ruedo get cores"}},
	fault.JobNotFound:        {{"", "ruedo get jobs"}},
	fault.NoSuccessor:        {{"", "ruedo get cores"}},
	fault.NotLeader:          {{"leader", "add --host {}"}, {"", "ruedo get leader"}},
	fault.UserNotFound:       {{"", "ruedo get users"}},
	fault.RoleNotFound:       {{"", "ruedo get roles"}},
	fault.RoleInUse:          {{"role", "ruedo describe role {}"}, {"", "ruedo get users -o wide"}},
	fault.TokenNotFound:      {{"", "ruedo get tokens"}},
	fault.TokenUsed:          {{"", "ask for a new invite: ruedo create invite USER"}},
	fault.LastAdmin:          {{"", "make somebody else an administrator first: ruedo grant USER role:admin"}},
	fault.GrantExceeds:       {{"", "ruedo whoami shows what you hold"}},
	fault.PermissionDenied:   {{"grant", "ask an administrator: ruedo grant USER '{}'"}},
	fault.RevisionNotFound:   {{"service", "ruedo get revisions {}"}, {"decorator", "ruedo get revisions decorator/{}"}},
	fault.InputInvalid:       {{"service", "ruedo call {} --use"}},
	fault.AlreadyExists:      {{"decorator", "change it with: ruedo apply -f FILE; or choose another name"}},
	fault.Integrity:          {{"decorator", "ruedo apply -f FILE, with the decorator in FILE"}},
	fault.MemberNotFound:     {{"", "ruedo get members"}},
	fault.StoreNoQuorum:      {{"", "start the other members (ruedo get members); writes are accepted again on their own"}},
	fault.StoreAlone:         {{"", "restart that core with --peer-address, for example 127.0.0.1:7834"}},
	fault.QuorumAtRisk:       {{"needed", "start the other members first (ruedo get members), or insist with --force: no write succeeds then until another member is back"}},
	fault.StoreFull:          {{"quota", "ruedo store compact; if that is not enough, delete what is not needed and compact again, or raise RUEDO_STORE_QUOTA on all members"}},
	fault.RunnerCordoned:     {{"runner", "agree with them; then: ruedo cordon {} --force"}},
	fault.PrepareUnavailable: {{"", "try again when runners are ready: ruedo get runners"}},
	fault.QueueFull:          {{"", "call again later, or start another runner: ruedo runner"}},
	fault.PortInUse:          {{"apps", "stop that process, or choose another address with --apps-listen"}, {"peer_address", "stop that process, or choose another address with --peer-address"}, {"", "stop that process, or choose another port with --port or RUEDO_SERVER_PORT"}},
	fault.NoRunner: {
		{"cordoned", "ruedo uncordon {}, or start another runner: ruedo runner"},
		{"live", "start a runner with such labels (ruedo get runners -o wide shows those that there are), correct the placement, or insist with --force"},
		{"placement", "start a runner with such labels (ruedo runner --labels KEY=VALUE), or publish the service with another placement"},
		{"decorator", "start a runner, or change decorator {} without a check: --force"},
		{"", "start one: ruedo runner, with this core's address in RUEDO_RUNNER_CORES"},
	},
	fault.DecoratorBreaksServices: {
		{"", "correct the decorator, publish services that can run with it, or change it all the same with --force"},
	},
	fault.DecoratorUnchecked: {{"", "spread the services over several decorators, or change it without a check: --force"}},
	fault.StoreNotEmpty:      {{"to", "replace it with --force; --check shows what would change"}, {"", "replace it with --force, after: ruedo db backup FILE"}},
	fault.StoreRestoring:     {{"", "wait until the restore has ended; if it was interrupted, repeat it: ruedo db restore FILE"}},
	fault.Conflict: {
		{"taken_by", "choose another host, path or method (ruedo describe service {} shows its routes), or publish {} without that route first"},
		{"service", "look at it with: ruedo describe service {}; then publish again"},
		{"decorator", "look at it with: ruedo describe decorator {}; then try again"},
	},
}

// fix returns what to do about an error: the CLI's own advice, or the error's if
// there is none or it already names what was meant ("did you mean greet?").
func fix(e *fault.Error) string {
	if strings.HasSuffix(e.Fix, "?") {
		return e.Fix
	}
	for _, a := range advices[e.Reason] {
		value, ok := e.Meta[a.fact]
		if ok || a.fact == "" {
			return strings.ReplaceAll(a.text, "{}", value)
		}
	}
	return e.Fix
}

// MeantFile returns the error of a call with the input that -d gave. If the input
// was refused and is the name of a file, the fix is to read the file.
func MeantFile(err error, input string) error {
	e := faultrpc.FromError(err)
	if e.Reason != fault.InputInvalid {
		return err
	}
	if st, statErr := os.Stat(input); statErr != nil || !st.Mode().IsRegular() {
		return err
	}
	return e.WithFix("did you mean -d %s?", output.Quote("@"+input))
}
