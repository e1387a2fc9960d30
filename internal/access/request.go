package access

import (
	"context"
	"errors"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Principal is somebody who may do something. It is shared by requests, and must
// not be changed.
type Principal struct {
	// Name is a sort and a name: "user/ada", "local/ada" on the socket of a core,
	// "core/core-1", "job/revisions"; or "anonymous".
	Name string
	// Roles are the names of the user's roles, for people to read.
	Roles []string
	// Grants are all that count, those of the roles included.
	Grants Set
	// Narrow, if it is not nil, narrows them: both have to allow.
	Narrow Set
	// Token is the id of the token that was shown; "" if none was.
	Token string
	// Assumed says that nobody was asked who it is, because the cluster has no login:
	// the name is for the audit log, and services are not told it.
	Assumed bool
}

// Anonymous is the name of whoever shows nothing.
const Anonymous = "anonymous"

// Allows reports whether the principal may do this.
func (p *Principal) Allows(verb Verb, noun Noun, name string) bool {
	return p.Grants.Allows(verb, noun, name) && (p.Narrow == nil || p.Narrow.Allows(verb, noun, name))
}

// Sees reports whether the principal may know that a name exists.
func (p *Principal) Sees(noun Noun, name string) bool {
	return p.Grants.Sees(noun, name) && (p.Narrow == nil || p.Narrow.Sees(noun, name))
}

// Some reports whether there can be a name with which the principal may do this.
func (p *Principal) Some(verb Verb, noun Noun) bool {
	return p.Grants.Some(verb, noun) && (p.Narrow == nil || p.Narrow.Some(verb, noun))
}

// Holds reports whether the principal may do everything that a grant allows, and so
// may give it to others.
func (p *Principal) Holds(g Grant) bool {
	return p.Grants.Covers(g) && (p.Narrow == nil || p.Narrow.Covers(g))
}

// User returns the name of the user whom the principal is; "" if it is none.
func (p *Principal) User() string {
	if sort, name, ok := strings.Cut(p.Name, "/"); ok && sort == "user" {
		return name
	}
	return ""
}

// How a request came.
const (
	ViaTCP    = "tcp"
	ViaTLS    = "tls"
	ViaSocket = "socket"
	ViaMemory = "memory"
)

// Request says who a request is of, and how it came.
type Request struct {
	*Principal
	// From is the address that it came from, without a port; "" if it has none.
	From string
	// Via is one of ViaTCP, ViaTLS, ViaSocket and ViaMemory.
	Via string
}

// ContextKey is the key of a *Request in a context, for contexts that hold one
// themselves.
type ContextKey struct{}

// With returns a context of a request.
func With(ctx context.Context, r *Request) context.Context {
	return context.WithValue(ctx, ContextKey{}, r)
}

// WithPrincipal returns a context of something that this process does on its own, for
// example a job of the leader.
func WithPrincipal(ctx context.Context, name string) context.Context {
	return With(ctx, &Request{Principal: &Principal{Name: name, Grants: Set{Everything}}, Via: ViaMemory})
}

// Of returns who a context is of; nil if it does not say.
func Of(ctx context.Context) *Request {
	r, _ := ctx.Value(ContextKey{}).(*Request)
	return r
}

// Caller is Of, and PERMISSION_DENIED if the context does not say it.
func Caller(ctx context.Context) (*Request, error) {
	if r := Of(ctx); r != nil && r.Principal != nil {
		return r, nil
	}
	return nil, Unsaid()
}

// ErrHidden is the error for a name that is invisible to the principal: whoever gets
// it answers as if the name did not exist.
var ErrHidden = errors.New("access: the name is invisible to the caller")

// Check returns nil if the request of a context may do this. Errors: UNAUTHENTICATED
// if nobody has logged in; PERMISSION_DENIED if the principal sees the name;
// otherwise [ErrHidden].
func Check(ctx context.Context, verb Verb, noun Noun, name string) error {
	r := Of(ctx)
	switch {
	case r == nil:
		return Unsaid()
	case r.Allows(verb, noun, name):
		return nil
	case r.Name == Anonymous:
		return Unauthenticated()
	case r.Sees(noun, name):
		return Denied(r.Principal, verb, noun, name)
	}
	return ErrHidden
}

// CheckSome is Check for what is not about one name: some grant of the verb will do.
func CheckSome(ctx context.Context, verb Verb, noun Noun) error {
	r := Of(ctx)
	switch {
	case r == nil:
		return Unsaid()
	case r.Some(verb, noun):
		return nil
	case r.Name == Anonymous:
		return Unauthenticated()
	}
	return Denied(r.Principal, verb, noun, star)
}

// Unsaid returns PERMISSION_DENIED, for a context that does not say who it is of: that is
// a mistake of ours.
func Unsaid() *fault.Error {
	return fault.New(fault.PermissionDenied, "nothing says who this request is of")
}

// Unauthenticated returns UNAUTHENTICATED. It has one text, whatever is wrong.
func Unauthenticated() *fault.Error {
	return fault.New(fault.Unauthenticated, "this needs a login that is good").WithFix("ruedo login, or send a token as Authorization: Bearer TOKEN")
}

// Denied returns PERMISSION_DENIED.
func Denied(p *Principal, verb Verb, noun Noun, name string) *fault.Error {
	wanted := Grant{verb, noun, name}.String()
	return fault.New(fault.PermissionDenied, "%s may not do this: it needs the grant %q", p.Name, wanted).
		With("grant", wanted).WithFix("ask an administrator for a role with it")
}

// Visible returns a filter of names for a list: those that the request of a context
// may read.
func Visible(ctx context.Context, noun Noun) func(name string) bool {
	r := Of(ctx)
	if r == nil {
		return func(string) bool { return false }
	}
	return func(name string) bool { return r.Allows(Read, noun, name) }
}
