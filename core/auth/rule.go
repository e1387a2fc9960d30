package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ruedo-dev/ruedo/core/auth/limit"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// foreign are the rules of services that are not ours, by name: nothing can stand
// next to their procedures.
var foreign = map[string]*access.Rule{
	"grpc.health.v1.Health":                    access.Open(),
	"grpc.reflection.v1.ServerReflection":      access.Needs(access.Read, access.Cluster),
	"grpc.reflection.v1alpha.ServerReflection": access.Needs(access.Read, access.Cluster),
}

// Rule returns what a caller needs for a procedure, and the option that enforces it.
// It panics for a procedure that has no rule, or one that makes no sense.
func (a *Auth) Rule(spec connect.Spec) (*access.Rule, connect.HandlerOption) {
	g := &guard{a: a}
	service, method, _ := strings.Cut(strings.TrimPrefix(spec.Procedure, "/"), "/")
	if g.rule = foreign[service]; g.rule == nil {
		described, _ := spec.Schema.(protoreflect.MethodDescriptor)
		if described != nil {
			g.rule, _ = proto.GetExtension(described.Options(), ruedov1.E_Access).(*access.Rule)
		}
		if g.rule == nil {
			panic(fmt.Sprintf("auth: procedure %s has no access rule", spec.Procedure))
		}
		g.limited = g.rule.GetOpen()
		if why := g.read(described.Input(), spec.StreamType); why != "" {
			panic(fmt.Sprintf("auth: the access rule of procedure %s %s", spec.Procedure, why))
		}
	}
	g.method = method
	return g.rule, connect.WithInterceptors(g)
}

// guard enforces the rule of one procedure.
type guard struct {
	a      *Auth
	method string
	rule   *access.Rule
	// path leads to the field of the request that has the name.
	path []protoreflect.FieldDescriptor
	// limited says that a network can only have so many of it.
	limited bool
}

// read reads the rule of a procedure with a request. It returns what is wrong with
// it.
func (g *guard) read(request protoreflect.MessageDescriptor, stream connect.StreamType) (why string) {
	r := g.rule
	grant := r.GetVerb() != access.AnyVerb && r.GetNoun() != access.AnyNoun
	switch {
	case r.GetOpen() && !r.GetOwn() && !grant, r.GetOwn() && !r.GetOpen() && !grant, grant && !r.GetOpen() && !r.GetOwn():
	default:
		return "says nothing, or several things"
	}
	if r.GetName() == "" {
		return ""
	}
	if !grant || stream != connect.StreamTypeUnary {
		return "cannot have a name"
	}
	for _, name := range strings.Split(r.GetName(), ".") {
		field := protoreflect.FieldDescriptor(nil)
		if request != nil {
			field = request.Fields().ByName(protoreflect.Name(name))
		}
		if field == nil || field.IsList() || field.IsMap() {
			return "names a field that does not exist: " + r.GetName()
		}
		g.path, request = append(g.path, field), field.Message()
	}
	if g.path[len(g.path)-1].Kind() != protoreflect.StringKind {
		return "names a field that is not a text: " + r.GetName()
	}
	return ""
}

// name returns the name in a request that the rule is about.
func (g *guard) name(request any) string {
	if len(g.path) == 0 {
		return ""
	}
	m, ok := request.(proto.Message)
	if !ok {
		return ""
	}
	value := protoreflect.ValueOfMessage(m.ProtoReflect())
	for _, field := range g.path {
		value = value.Message().Get(field)
	}
	return value.String()
}

// check returns nil if a request may be handled.
func (g *guard) check(ctx context.Context, name string) error {
	if g.limited {
		return g.a.count(ctx, g.method)
	}
	return g.a.ask(ctx, g.rule, name)
}

// count counts a request that anybody may send.
func (a *Auth) count(ctx context.Context, method string) error {
	r := access.Of(ctx)
	if r == nil || r.From == "" || !a.current().login {
		return nil
	}
	if retry, ok := a.open.Allow(limit.Network(r.From)); !ok {
		e := tooMany(retry)
		a.cfg.Denied(ctx, strings.ToLower(method), "", "", e.Reason)
		return e
	}
	return nil
}

// ask returns nil if the request of a context may have what has a rule.
func (a *Auth) ask(ctx context.Context, rule *access.Rule, name string) error {
	verb, noun := rule.GetVerb(), rule.GetNoun()
	switch {
	case rule.GetOpen(), verb == access.Call: // the latter is asked by package invoke
		return nil
	case rule.GetOwn():
		switch r := access.Of(ctx); {
		case r == nil:
			return access.Unsaid()
		case r.Name == access.Anonymous:
			return a.refuse(ctx, verb, noun, "", access.Unauthenticated(), false)
		}
		return nil
	case rule.GetName() != "":
		return a.refuse(ctx, verb, noun, name, access.Check(ctx, verb, noun, name), rule.GetCreates())
	case noun == access.Cluster:
		return a.refuse(ctx, verb, noun, a.cfg.Cluster, access.Check(ctx, verb, noun, a.cfg.Cluster), true)
	}
	return a.refuse(ctx, verb, noun, "", access.CheckSome(ctx, verb, noun), false)
}

// Allow returns nil if the request of a context may have a route with a rule. What
// depends on a name is asked when that is known. But whoever is anonymous, and may have
// it with no name at all, gets no further.
func (a *Auth) Allow(ctx context.Context, rule *access.Rule) error {
	if rule.GetName() == "" && rule.GetVerb() != access.Call {
		return a.ask(ctx, rule, "")
	}
	if r := access.Of(ctx); r == nil || r.Name == access.Anonymous && !r.Some(rule.GetVerb(), rule.GetNoun()) {
		return a.refuse(ctx, rule.GetVerb(), rule.GetNoun(), "", access.CheckSome(ctx, rule.GetVerb(), rule.GetNoun()), false)
	}
	return nil
}

// Check is [access.Check], except that an invisible name is answered like one that does
// not exist, and that denials are reported to [Config.Denied].
func (a *Auth) Check(ctx context.Context, verb access.Verb, noun access.Noun, name string) error {
	return a.refuse(ctx, verb, noun, name, access.Check(ctx, verb, noun, name), false)
}

// maxDenied bounds the names that are told, in bytes.
const maxDenied = 64

// refuse returns what the caller gets of an error of package access; nil is none.
func (a *Auth) refuse(ctx context.Context, verb access.Verb, noun access.Noun, name string, err error, creates bool) error {
	if err == nil {
		return nil
	}
	reason := fault.PermissionDenied
	switch {
	case !errors.Is(err, access.ErrHidden):
		reason = fault.ReasonOf(err)
	case creates:
		err = access.Denied(access.Of(ctx).Principal, verb, noun, name)
	default:
		err = a.cfg.Missing(ctx, noun, name)
	}
	if access.Of(ctx) != nil { // otherwise it is a mistake of ours
		a.cfg.Denied(ctx, access.VerbWord(verb), access.NounWord(noun), fault.Cut(name, maxDenied), reason)
	}
	return err
}

// still returns why a stream ends when its caller may do something else than before: the
// caller may not have it any more, or has seen what may be hidden now. What a runner
// sees does not depend on that.
func (g *guard) still(now *access.Principal) error {
	verb, noun, name := g.rule.GetVerb(), g.rule.GetNoun(), "*"
	allowed := g.rule.GetOwn() || now.Some(verb, noun)
	if noun == access.Cluster {
		name = g.a.cfg.Cluster
		allowed = now.Allows(verb, noun, name)
	}
	switch {
	case !allowed:
		return access.Denied(now, verb, noun, name)
	case verb == access.Execute:
		return nil
	}
	return errChanged
}

// WrapUnary asks before the handler is called.
func (g *guard) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		name := g.name(req.Any())
		if err := g.check(ctx, name); err != nil {
			return nil, err
		}
		res, err := next(ctx, req)
		if errors.Is(err, access.ErrHidden) {
			return nil, g.a.refuse(ctx, g.rule.GetVerb(), g.rule.GetNoun(), name, access.ErrHidden, g.rule.GetCreates())
		}
		return res, err
	}
}

// WrapStreamingClient is for clients, which have no rules.
func (g *guard) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler asks before the handler is called, and ends it when the answer
// would be another one.
func (g *guard) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		if err := g.check(ctx, ""); err != nil {
			return err
		}
		r := access.Of(ctx)
		if r == nil || g.rule.GetOpen() {
			return next(ctx, conn)
		}
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		defer g.a.follow(r.Principal, g.still, cancel)()
		err := next(ctx, conn)
		if ended, ok := errors.AsType[*fault.Error](context.Cause(ctx)); ok {
			return ended
		}
		return err
	}
}

var _ connect.Interceptor = (*guard)(nil)
