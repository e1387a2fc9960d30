//go:build hostile

package hostile

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

const (
	// canary is in the names of the other team, and nowhere else.
	canary = "k7q9x"
	theirs = "team-b-" + canary
	mine   = "team-a-own"
)

// silence is how long a stream that does not end is read.
const silence = 250 * time.Millisecond

// member is a principal who asks.
type member struct {
	*bout
	token string
	peer  *peer
}

func (b *bout) member(token string) *member { return &member{b, token, newPeer(b.url, true)} }

// ask sends a message to a procedure. The answer of a stream that does not end is what
// it begins with.
func (m *member) ask(p procedure, message []byte) response {
	patience := 20 * time.Second
	if p.stream&connect.StreamTypeServer != 0 {
		patience = silence
	}
	return m.send(p.request(speech{protocol: "connect", codec: "proto"}, message), patience)
}

func (m *member) send(r request, patience time.Duration) response {
	ctx, cancel := context.WithTimeout(m.ctx, patience)
	defer cancel()
	copyHeader(r.header, bearing(m.token))
	got, err := m.bout.send(ctx, m.peer.http, r)
	if err != nil && ctx.Err() == nil {
		m.Errorf("%s: %v", r.path, err)
	}
	return got
}

// get sends a request of plain HTTP.
func (m *member) get(method, path string) response {
	return m.send(request{method, path, http.Header{}, []byte("{}")}, 20*time.Second)
}

// without returns an answer in which a word stands for a name.
func (r response) without(name string) response {
	for _, text := range []*string{&r.header, &r.body, &r.trailer, &r.hidden} {
		*text = strings.ReplaceAll(*text, name, "NAME")
	}
	return r
}

// pair is what belongs to the other team, and what nobody has.
type pair struct{ there, gone string }

// teams is the other team and a member of ours.
type teams struct {
	pairs  []pair
	secret []string // parts of what only the others may see
	ada    *member
	spare  string // a token of somebody like ada
	admin  *member
	// modules are the digests of what both have published, by name.
	modules map[string]string
}

// newTeams makes two teams of equal things.
func (b *bout) newTeams() *teams {
	t := &teams{modules: map[string]string{}}
	machine := func(name string, grants ...string) *ruedov1.CreateTokenResponse {
		_, _ = b.client.Users.DeleteUser(b.ctx, &ruedov1.DeleteUserRequest{Name: name}) // of an earlier try
		made, err := b.program(b.ctx, name, grants...)
		b.must(made, err)
		return made
	}
	for _, name := range []string{theirs, mine} {
		_, _ = b.client.Services.DeleteService(b.ctx, &ruedov1.DeleteServiceRequest{Name: name})
		_, _ = b.client.Decorators.DeleteDecorator(b.ctx, &ruedov1.DeleteDecoratorRequest{Name: name})
		_, _ = b.client.Roles.DeleteRole(b.ctx, &ruedov1.DeleteRoleRequest{Name: name})
		b.must(b.client.Decorators.CreateDecorator(b.ctx, &ruedov1.CreateDecoratorRequest{Decorator: &ruedov1.Decorator{Name: name}}))
		b.must(b.client.Roles.CreateRole(b.ctx, &ruedov1.CreateRoleRequest{Role: &ruedov1.Role{Name: name}}))
		digest, err := b.client.Upload(b.ctx, saying("said by "+name), nil)
		b.must(digest, err)
		t.modules[name] = digest
		made := machine(name)
		b.must(nil, b.publish(b.ctx, name+"-page", htmlPage([]byte(name)), nil, func(req *ruedov1.PublishServiceRequest) {
			req.Routes = []*ruedov1.Route{{Path: "/" + name + "/"}}
		}))
		b.must(b.client.Services.PublishService(b.ctx, &ruedov1.PublishServiceRequest{
			Name: name, Module: digest, Decorators: []string{name}, Env: map[string]string{"KEY": "of " + name},
		}))
		res, err := b.client.Call(b.ctx, name, []byte(`{"n":1}`))
		b.must(res, err)
		if name == theirs && err == nil {
			id := made.GetToken().GetId()
			call := res.Info.GetCallId()
			t.pairs = []pair{{theirs, "team-b-" + canary[:4] + "y"}, {id, strings.ToLower(rand.Text()[:len(id)])}, {call, call[:len(call)-1] + otherThan(call[len(call)-1])}}
			t.secret = []string{canary, id, call}
		}
	}
	runners, err := b.client.Cluster.ListRunners(b.ctx, &ruedov1.ListRunnersRequest{})
	b.must(runners, err)
	for _, r := range runners.GetItems()[:1] {
		t.pairs = append(t.pairs, pair{r.GetId(), r.GetId()[:len(r.GetId())-1] + otherThan(r.GetId()[len(r.GetId())-1])})
	}
	grants := []string{"* service team-a-*", "* decorator team-a-*", "* user team-a-*", "* role team-a-*", "* runner team-a-*", "read cluster *"}
	t.ada = b.member(machine("ada", grants...).GetSecret())
	t.spare = machine("spare", grants...).GetSecret()
	t.admin = b.member(machine("all", "* * *").GetSecret())
	return t
}

// otherThan returns another letter or digit.
func otherThan(c byte) string {
	if c == 'b' {
		return "c"
	}
	return "b"
}

// saying is a guest that logs a line and answers with nothing.
func saying(line string) []byte {
	m := w.FunctionWith([]string{hostLog}, w.CallWith(0, 1, 0, int32(len(line))), w.I32(0))
	m.Data(0, []byte(line))
	return m.Bytes()
}

// leaks checks that an answer to our team has nothing of the other one.
func (t *teams) leaks(b *bout, what string, r response) {
	for _, text := range t.secret {
		if strings.Contains(r.everything(), text) {
			b.Errorf("%s shows %q, which belongs to others: %s", what, text, r)
		}
	}
}

// stored are fields whose text is stored as it is, whatever it is, and shown to those who
// may read what it was stored with.
var stored = []protoreflect.Name{"description", "tags", "args", "origin", "publishing"}

// stores reports whether a message has one of them.
func stores(m protoreflect.Message) (yes bool) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.Message() != nil && !f.IsList() && !f.IsMap() {
			yes = yes || stores(v.Message())
		}
		yes = yes || slices.Contains(stored, f.Name())
		return !yes
	})
	return yes
}

// withOwn sets the name that a procedure is about, and the module, to our own.
func (t *teams) withOwn(p procedure, m *dynamicpb.Message) *dynamicpb.Message {
	path := p.rule().GetName()
	if path == "" || stores(m) {
		return nil
	}
	m = proto.Clone(m).(*dynamicpb.Message)
	at := protoreflect.Message(m)
	fields := strings.Split(path, ".")
	for _, name := range fields[:len(fields)-1] {
		at = at.Mutable(at.Descriptor().Fields().ByName(protoreflect.Name(name))).Message()
	}
	last := at.Descriptor().Fields().ByName(protoreflect.Name(fields[len(fields)-1]))
	if at.Has(last) {
		return nil // it is the name itself
	}
	at.Set(last, protoreflect.ValueOfString(mine))
	if module := at.Descriptor().Fields().ByName("module"); module != nil && module.Kind() == protoreflect.StringKind && !at.Has(module) {
		at.Set(module, protoreflect.ValueOfString(t.modules[mine]))
	}
	return m
}

// everyField asks every procedure, in each text of its message, for what belongs to the
// other team and for what nobody has.
func (t *teams) everyField(b *bout) {
	type question struct {
		p           procedure
		what        string
		there, gone []byte
		pair        pair
	}
	var questions []question
	add := func(p procedure, what string, there, gone *dynamicpb.Message, x pair) {
		q := question{p: p, what: what, pair: x}
		var err error
		if q.there, err = proto.Marshal(there); err == nil {
			q.gone, err = proto.Marshal(gone)
		}
		if err != nil {
			b.Errorf("%s: %v", p.path, err)
			return
		}
		questions = append(questions, q)
	}
	for _, p := range b.mustProcedures() {
		if p.rule() == nil || p.rule().GetOpen() {
			continue // health, reflection, and what anybody may ask
		}
		for _, x := range t.pairs {
			gone := texts(p.input, x.gone, 3)
			for i, there := range texts(p.input, x.there, 3) {
				add(p, fmt.Sprintf("%s %v", p.path, there), there, gone[i], x)
				if own := t.withOwn(p, there); own != nil {
					add(p, fmt.Sprintf("%s %v", p.path, own), own, t.withOwn(p, gone[i]), x)
				}
			}
		}
	}
	changing := 0
	for _, q := range questions {
		there, gone := t.ada.ask(q.p, q.there).without(q.pair.there), t.ada.ask(q.p, q.gone).without(q.pair.gone)
		t.leaks(b, q.what, there)
		t.leaks(b, q.what, gone)
		if there.same(gone) {
			continue
		}
		// Some answers are never the same, such as that of a publish.
		if again := t.ada.ask(q.p, q.gone).without(q.pair.gone); !again.same(gone) && there.status == gone.status {
			changing++
			continue
		}
		b.Errorf("%s tells what belongs to others from what does not exist:\n%s\n%s", q.what, there, gone)
	}
	if len(questions) < 500 || changing > len(questions)/10 {
		b.Errorf("%d questions, the answers to %d of which change by themselves", len(questions), changing)
	}
	b.note("%d questions, the answers to %d of which change by themselves", len(questions), changing)
}

// nothing asks every procedure for nothing in particular.
func (t *teams) nothing(b *bout) {
	spare := b.member(t.spare)
	defer spare.peer.close()
	seen := 0
	for _, p := range b.mustProcedures() {
		who := t.ada
		if p.rule().GetOwn() {
			who = spare // it can end a token
		}
		t.leaks(b, p.path, who.ask(p, nil))
		if p.safe || p.stream == connect.StreamTypeServer {
			if all := t.admin.ask(p, nil); strings.Contains(all.everything(), canary) {
				seen++
			}
		}
	}
	for _, path := range []string{"/metrics", "/call/" + mine, "/healthz", "/no/such/path"} {
		t.leaks(b, path, t.ada.get(http.MethodGet, path))
	}
	if seen < 5 || !strings.Contains(t.admin.get(http.MethodGet, "/metrics").body, canary) {
		b.Errorf("those who may see it see it in %d answers", seen)
	}
	if got := t.ada.get(http.MethodGet, "/metrics"); !strings.Contains(got.body, `service="`+mine+`"`) {
		b.Errorf("the metrics lack what ada may see: %s", got)
	}
}

// hints makes mistakes that are close to the names of the other team.
func (t *teams) hints(b *bout) {
	near := theirs[:len(theirs)-1]
	for _, route := range []string{"POST /call/%s", "GET /call/%s", "GET /svc/%s/", "POST /call/%s@1", "POST /call/%s@99", "GET /%s/"} {
		method, path, _ := strings.Cut(route, " ")
		ask := func(name string) response {
			r := t.ada.get(method, fmt.Sprintf(path, name))
			r = r.without(name)
			t.leaks(b, route, r)
			return r
		}
		there, gone := ask(theirs), ask(t.pairs[0].gone)
		if !there.same(gone) || there.status != http.StatusNotFound {
			b.Errorf("%s:\n%s\n%s", route, there, gone)
		}
		ask(near)
	}
	if got := t.admin.get(http.MethodPost, "/call/"+near); !strings.Contains(got.body, "did you mean "+theirs) {
		b.Errorf("those who may see it get no hint: %s", got)
	}
	for _, s := range speeches(false) {
		invoke := procedure{path: ruedov1connect.InvokeServiceInvokeProcedure}
		ask := func(name string) response {
			message := []byte(`{"service":"` + name + `","input":1}`)
			if s.codec == "proto" {
				message, _ = proto.Marshal(&ruedov1.InvokeRequest{Service: name, Payload: &ruedov1.InvokeRequest_Bytes{Bytes: []byte("1")}})
			}
			return t.ada.send(invoke.request(s, message), 20*time.Second).without(name)
		}
		there, gone := ask(theirs), ask(t.pairs[0].gone)
		t.leaks(b, "Invoke", there)
		if !there.same(gone) || !strings.Contains(there.everything(), string(fault.ServiceNotFound)) {
			b.Errorf("Invoke by %s:\n%s\n%s", s, there, gone)
		}
	}
}

// watches follows all that streams while both teams change things.
func (t *teams) watches(b *bout) {
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	var mu sync.Mutex
	heard := map[string]*bytes.Buffer{}
	var reading sync.WaitGroup
	defer reading.Wait()
	defer cancel()
	follow := func(p procedure, who *member, name string, message proto.Message) {
		raw, err := proto.Marshal(message)
		b.must(raw, err)
		r := p.request(speech{protocol: "connect", codec: "proto"}, raw)
		req, err := http.NewRequestWithContext(ctx, r.method, b.url+r.path, bytes.NewReader(r.body))
		b.must(req, err)
		copyHeader(r.header, bearing(who.token))
		req.Header = r.header
		text := &bytes.Buffer{}
		heard[name] = text
		reading.Go(func() {
			res, err := who.peer.http.Do(req)
			if err != nil {
				return // its end
			}
			defer res.Body.Close()
			_, _ = io.Copy(writer(func(part []byte) (int, error) {
				mu.Lock()
				defer mu.Unlock()
				return text.Write(part)
			}), res.Body)
		})
	}
	streams := map[string]proto.Message{
		ruedov1connect.ServiceServiceWatchServicesProcedure:  &ruedov1.WatchServicesRequest{},
		ruedov1connect.AuditServiceListAuditRecordsProcedure: &ruedov1.ListAuditRecordsRequest{Follow: true},
		ruedov1connect.LogServiceReadLogsProcedure:           &ruedov1.ReadLogsRequest{Service: theirs, Follow: true},
	}
	for _, p := range b.mustProcedures() {
		if message := streams[p.path]; message != nil {
			follow(p, t.ada, p.path, message)
			follow(p, t.admin, "all "+p.path, message)
		}
	}
	contains := func(name, text string) bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.Contains(heard[name].String(), text)
	}
	const watch = ruedov1connect.ServiceServiceWatchServicesProcedure
	const logs, audit = ruedov1connect.LogServiceReadLogsProcedure, ruedov1connect.AuditServiceListAuditRecordsProcedure
	if !testkit.Poll(backWithin, func() bool { return contains(watch, mine) && contains("all "+watch, theirs) }) {
		b.Errorf("the services are not watched")
	}
	for _, name := range []string{theirs, theirs + "-new", mine + "-new"} {
		b.must(b.client.Services.PublishService(b.ctx, &ruedov1.PublishServiceRequest{Name: name, Module: t.modules[strings.TrimSuffix(name, "-new")]}))
		b.must(b.client.Call(b.ctx, name, []byte(`{}`)))
	}
	b.must(b.client.Services.DeleteService(b.ctx, &ruedov1.DeleteServiceRequest{Name: theirs + "-new"}))
	b.must(b.client.Services.DeleteService(b.ctx, &ruedov1.DeleteServiceRequest{Name: mine + "-new"}))
	// What is ours comes, after all that is not.
	if !testkit.Poll(backWithin, func() bool {
		return contains(watch, mine+"-new") && contains("all "+watch, theirs+"-new") && contains("all "+logs, "said by "+theirs) && contains("all "+audit, theirs+"-new")
	}) {
		b.Errorf("those who may see the changes do not see them")
	}
	mu.Lock()
	defer mu.Unlock()
	for name, text := range heard {
		if strings.HasPrefix(name, "all ") {
			continue
		}
		if name == logs { // where the name is that of the request
			text = bytes.NewBufferString(strings.ReplaceAll(text.String(), theirs, ""))
		}
		t.leaks(b, name, response{body: text.String()})
	}
}

// writer is an io.Writer.
type writer func([]byte) (int, error)

func (f writer) Write(p []byte) (int, error) { return f(p) }

// intact checks that nothing of the other team has changed.
func (t *teams) intact(b *bout) {
	got, err := b.client.Services.GetService(b.ctx, &ruedov1.GetServiceRequest{Name: theirs})
	b.must(got, err)
	if n := got.GetService().GetRevision().GetNumber(); n != 1 {
		b.Errorf("the other team's service has revision %d", n)
	}
	user, err := b.client.Users.GetUser(b.ctx, &ruedov1.GetUserRequest{Name: theirs})
	b.must(user, err)
	if user.GetTokenCount() != 1 || user.GetUser().GetDisabled() {
		b.Errorf("the other team's program is %v", user)
	}
	b.must(b.client.Decorators.GetDecorator(b.ctx, &ruedov1.GetDecoratorRequest{Name: theirs}))
	b.must(b.client.Roles.GetRole(b.ctx, &ruedov1.GetRoleRequest{Name: theirs}))
	if list, err := b.client.Cluster.ListRunners(b.ctx, &ruedov1.ListRunnersRequest{}); err != nil || slices.ContainsFunc(list.GetItems(), func(r *ruedov1.Runner) bool { return r.GetCordon() != nil }) {
		b.Errorf("a runner is cordoned: %v, %v", list, err)
	}
}

// teamRow is row 31.
func teamRow() *row {
	var t *teams
	return &row{
		number: 31, name: "a team asks for what belongs to another", once: true,
		setup: func(b *bout) { t = b.newTeams() },
		moves: []move{
			{"by name and by id, in every field of every message", func(b *bout) { t.everyField(b) }},
			{"for nothing in particular", func(b *bout) { t.nothing(b) }},
			{"by mistake", func(b *bout) { t.hints(b) }},
			{"and nothing has changed", func(b *bout) { t.intact(b) }},
			{"and waits", func(b *bout) {
				t.watches(b)
				t.ada.peer.close()
				t.admin.peer.close()
			}},
		},
		peakCore: 128 << 20, kept: 32 << 20,
	}
}
