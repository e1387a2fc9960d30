// Package resource lists the nouns of the command line, and has those of the
// catalog, one file each: services, decorators and their revisions. A noun says
// what there is, how it is listed and shown, and what can be done with it. The
// nouns that have commands of their own are next to these.
//
// [All] lists them. `ruedo get`, `describe`, `create`, `apply`, `delete`, their
// help and the completion of names are made of that list by package verb, so a
// new noun is a new file and a line in All.
package resource

import (
	"github.com/ruedo-dev/ruedo/internal/cli/cluster"
	"github.com/ruedo-dev/ruedo/internal/cli/event"
	"github.com/ruedo-dev/ruedo/internal/cli/leading"
	"github.com/ruedo-dev/ruedo/internal/cli/members"
	"github.com/ruedo-dev/ruedo/internal/cli/trust"
	"github.com/ruedo-dev/ruedo/internal/cli/use"
	"github.com/ruedo-dev/ruedo/internal/cli/verb"
)

// All returns the nouns in the order of help.
func All() []*verb.Noun {
	return []*verb.Noun{
		services(), decorators(), cluster.Runners(), revisions(), cluster.Cores(), leading.LeaderNoun(), leading.JobNoun(), members.Noun(), cluster.Status(), event.Noun(),
		trust.UserNoun(), trust.InviteNoun(), trust.RoleNoun(), trust.TokenNoun(), trust.AuditNoun(), trust.AuthorityNoun(), use.Noun(),
	}
}

// namesOrTag is the arguments of lists that can be narrowed to names or to a
// tag.
type namesOrTag struct {
	verb.ByName
	Tag string `placeholder:"TAG" help:"List only those with this tag."`
}
