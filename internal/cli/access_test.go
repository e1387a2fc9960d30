package cli

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/pki"
	"github.com/ruedo-dev/ruedo/internal/token"
)

// hidden fails if something that was printed, or a file other than a token, has a
// secret.
func (h *home) hidden(t *testing.T, secrets ...string) {
	t.Helper()
	has := func(where, text string) {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s has the secret %s", where, secret)
			}
		}
	}
	has("what was printed", h.said.String())
	err := filepath.WalkDir(h.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || filepath.Base(filepath.Dir(path)) == "tokens" {
			return err
		}
		data, err := os.ReadFile(path)
		has(path, string(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A newcomer has a link, and nothing else.
func TestLoginWithALink(t *testing.T) {
	c, me := newHouse(t, "site-a", true), newHome(t)
	link := c.link(t)
	me.do(t,
		try{args: words("whoami"), code: fault.ExitUnavailable},
		try{args: words("login"), stdin: link + "\nshort\n", code: fault.ExitInvalid, stderr: "the password has 5 characters"},
		try{args: words("login"), stdin: link + "\n" + another + "\n", stdout: "authority pinned · password set · logged in to site-a as ada (admin) until "},
		try{args: words("whoami"), stdout: "Principal:   user/ada\nCluster:     site-a\nProfile:     site-a\nToken:       "},
		try{args: words("use"), stdout: "site-a: " + c.url + ", cluster site-a, user ada\n"},
		try{args: words("get profiles"), stdout: "site-a   yes      site-a    ada    " + c.url},
		try{args: words("login"), stdin: link + "\n" + password + "\n", code: fault.ExitConflict, stderr: "error: the invite was used already\nfix: ask for a new invite"},
		// The authority is known from now on.
		try{args: []string{"login", c.url, "ada"}, stdin: another + "\n", stdout: "logged in to site-a as ada (admin)"},
		try{args: []string{"login", c.url, "ada", "-o", "json"}, stdin: another + "\n", stdout: `"principal": "user/ada"`},
	)
	me.hidden(t, c.invite.Reveal()[20:], another, password, me.token(t, "site-a"), me.token(t, "site-a")[20:])
	if runtime.GOOS == "windows" {
		return
	}
	for _, path := range []string{me.file(".local", "state", "ruedo", "tokens", "site-a"), me.file(".config", "ruedo", "profiles", "site-a.yaml")} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, st, err)
		}
	}
	if err := os.Chmod(me.file(".local", "state", "ruedo", "tokens", "site-a"), 0o644); err != nil {
		t.Fatal(err)
	}
	me.do(t, try{args: words("whoami"), code: fault.ExitUsage, stderr: "others can read or change the token of profile site-a (mode 0644)"})
}

// What is wrong is found before anything secret is sent.
func TestLoginIsRefused(t *testing.T) {
	c, other, open := newHouse(t, "site-a", true), newHouse(t, "site-a", true), newHouse(t, "lab", false)
	open.open = true
	link := c.link(t)
	pin := c.authority.Pin()
	for name, s := range map[string]try{
		"a link that is cut off":        {args: words("login"), stdin: link[:len(link)-70] + "\n", code: fault.ExitInvalid, stderr: "not a valid"},
		"a link that is mistyped":       {args: words("login"), stdin: strings.Replace(link, "ruedo_i_", "ruedo_i_x", 1) + "\n", code: fault.ExitInvalid},
		"the pin of another cluster":    {args: words("login"), stdin: strings.Replace(link, pin, other.authority.Pin(), 1) + "\n" + another + "\n", code: fault.ExitDenied, stderr: "is not a core of the cluster that is meant"},
		"a link as an argument":         {args: []string{"login", link}, code: fault.ExitUsage, stderr: "others on this machine can read arguments"},
		"a token as an argument":        {args: []string{"login", c.url, token.New(token.Bearer).Reveal()}, code: fault.ExitUsage, stderr: "others on this machine can read arguments"},
		"an unknown authority":          {args: []string{"login", c.url, "ada"}, stdin: password + "\n", code: fault.ExitDenied, stderr: "there is nobody to ask\nfix: log in with a link; or, if you know that this is its pin: --pin " + pin},
		"another pin":                   {args: []string{"login", c.url, "ada", "--pin", other.authority.Pin()}, stdin: password + "\n", code: fault.ExitDenied, stderr: "(" + c.url + ")"},
		"no TLS":                        {args: words("login http://core-1.example.com:7833 ada"), stdin: password + "\n", code: fault.ExitDenied, stderr: "without TLS, everybody on the way could read it"},
		"no user":                       {args: []string{"login", c.url, "--pin", pin}, stdin: password + "\n", code: fault.ExitUsage, stderr: "no user is named"},
		"no core":                       {args: words("login --with-token"), stdin: "x\n", code: fault.ExitUsage, stderr: "no core is named"},
		"a user with a token":           {args: []string{"login", c.url, "ada", "--with-token"}, code: fault.ExitUsage, stderr: "the token says who the user is"},
		"a token that is cut off":       {args: []string{"login", c.url, "--pin", pin, "--with-token"}, stdin: token.New(token.Bearer).Reveal()[:40] + "\n", code: fault.ExitInvalid, stderr: "cut off after 40 of 53 characters"},
		"a cluster without a login":     {args: []string{"login", open.url, "ada"}, stdin: password + "\n", code: fault.ExitUsage, stderr: "cluster lab has no login"},
		"a link that is an empty line":  {args: words("login"), stdin: "\n\n", code: fault.ExitInvalid},
		"a password that is too long":   {args: []string{"login", c.url, "ada", "--pin", pin}, stdin: strings.Repeat("x", 5000) + "\n", code: fault.ExitUsage, stderr: "longer than 4096 bytes"},
		"an invite of somebody else":    {args: words("login"), stdin: strings.Replace(link, c.invite.Reveal(), token.New(token.Invite).Reveal(), 1) + "\n" + another + "\n", code: fault.ExitDenied},
		"a password that is wrong":      {args: []string{"login", c.url, "ada", "--pin", pin}, stdin: another + "\n", code: fault.ExitDenied, stderr: "the cluster does not accept this user and password"},
		"a token that is not good here": {args: []string{"login", c.url, "--pin", pin, "--with-token"}, stdin: token.New(token.Bearer).Reveal() + "\n", code: fault.ExitDenied},
	} {
		t.Run(name, func(t *testing.T) {
			me := newHome(t)
			me.do(t, s)
			if _, err := os.Stat(me.file(".config", "ruedo")); err == nil {
				t.Error("there is a profile")
			}
			me.hidden(t, c.invite.Reveal()[20:], password, another)
		})
	}
	if n := c.asked("Login") + c.asked("AcceptInvite") + c.asked("WhoAmI"); n != 3 {
		t.Errorf("%d requests had a secret, instead of the last three", n)
	}
	if other.asked("Login")+other.asked("AcceptInvite")+open.asked("Login") > 0 {
		t.Error("a secret was sent to another cluster")
	}
}

// Clusters can have the same id, and often do.
func TestTwoClustersWithOneName(t *testing.T) {
	a, b, me := newHouse(t, "default", true), newHouse(t, "default", true), newHome(t)
	me.do(t,
		try{args: words("login"), stdin: a.link(t) + "\n" + password + "\n", stdout: "logged in to default"},
		try{args: words("login"), stdin: b.link(t) + "\n" + password + "\n", code: fault.ExitConflict, stderr: "profile default is for another cluster"},
		try{args: words("--profile default login"), stdin: b.link(t) + "\n" + password + "\n", code: fault.ExitConflict, stderr: "profile default is for another cluster"},
	)
	if b.used {
		t.Fatal("the invite is lost")
	}
	me.do(t,
		try{args: words("--profile lab login"), stdin: b.link(t) + "\n" + password + "\n", stdout: "logged in to default", stderr: "profile lab"},
		try{args: words("use"), stdout: "lab: "},
		try{args: words("--profile default whoami"), stdout: "Profile:     default"},
		try{args: words("whoami"), stdout: "Profile:     lab"},
		// Another login goes to the profile of its cluster.
		try{args: []string{"login", a.url, "ada"}, stdin: password + "\n"},
		try{args: words("use"), stdout: "default: "},
	)
	if me.token(t, "default") == me.token(t, "lab") || !a.good[me.token(t, "default")] || !b.good[me.token(t, "lab")] {
		t.Error("the tokens are mixed up")
	}
	// A profile whose file names another cluster's host does not get there.
	path := me.file(".config", "ruedo", "profiles", "default.yaml")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(data), a.url, b.url)), 0o600); err != nil {
		t.Fatal(err)
	}
	before := len(b.shown)
	me.do(t, try{args: words("whoami"), code: fault.ExitDenied, stderr: "is not a core of the cluster that is meant"})
	if len(b.shown) != before {
		t.Errorf("the other cluster was asked: %q", b.shown[before:])
	}
}

// A cluster whose authority was rotated is the same cluster, and the profile has the
// new authority as soon as it was used.
func TestAnAuthorityThatWasRotated(t *testing.T) {
	c, me := newHouse(t, "site-a", true), newHome(t)
	me.do(t, try{args: words("login"), stdin: c.link(t) + "\n" + password + "\n"})
	c.rotate(t)
	me.do(t, try{args: words("whoami"), stdout: "user/ada"})
	data, err := os.ReadFile(me.file(".config", "ruedo", "profiles", "site-a.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Split(pki.PEM(c.authority.Certificate()), "\n")[1]; !strings.Contains(string(data), want) {
		t.Error("the profile has the authority of before")
	}
}

func TestTheEndOfASession(t *testing.T) {
	c, me := newHouse(t, "site-a", false), newHome(t)
	login := try{args: []string{"login", c.url, "ada"}, stdin: password + "\n", stdout: "logged in to site-a as ada"}
	me.do(t,
		login,
		try{args: words("logout"), stdout: "logged out of site-a\n"},
		try{args: words("logout"), code: fault.ExitUsage, stderr: "nobody is logged in here"},
		try{args: words("whoami"), code: fault.ExitDenied, stderr: "fix: log in: ruedo login\n"},
		login,
		try{args: words("logout --all"), stdout: "all other sessions and tokens"},
		login,
	)
	clear(c.good) // somebody has ended it
	me.do(t,
		try{args: words("whoami"), code: fault.ExitDenied, stderr: "fix: the session of profile site-a may have ended: ruedo login\n"},
		try{args: words("logout"), stdout: "where the session had ended before"},
		login,
		try{args: words("passwd"), stdin: another + "\n" + another + "\n", code: fault.ExitDenied},
		try{args: words("passwd"), stdin: password + "\n" + another + "\n", stdout: "password changed; all other sessions and tokens of ada have ended"},
		try{args: words("whoami"), stdout: "user/ada"},
		try{args: words("delete profile site-a --yes")},
	)
	if _, err := os.Stat(me.file(".local", "state", "ruedo", "tokens", "site-a")); err == nil {
		t.Error("the token has outlived its profile")
	}
	me.hidden(t, password, another)
}

// A token that is given counts for more than a login, and is nobody's to end.
func TestATokenThatIsGiven(t *testing.T) {
	c := newHouse(t, "site-a", false)
	given := token.New(token.Bearer).Reveal()
	c.good[given] = true
	me := newHome(t)
	me.do(t, try{args: []string{"login", c.url, "ada"}, stdin: password + "\n"})
	me.env = append(me.env, "RUEDO_TOKEN="+given)
	me.do(t,
		try{args: words("whoami -v"), stdout: given[8:18], stderr: "token: from env RUEDO_TOKEN"},
		try{args: words("logout"), code: fault.ExitUsage, stderr: "the token from env RUEDO_TOKEN, and not that of a login"},
		try{args: words("passwd"), stdin: password + "\n" + another + "\n", code: fault.ExitUsage},
		try{args: []string{"whoami", "--host", "http://192.0.2.1:7833"}, code: fault.ExitDenied, stderr: "a token is not sent to http://192.0.2.1:7833"},
	)
	delete(c.good, given)
	me.do(t, try{args: words("whoami"), code: fault.ExitDenied, stderr: "fix: the token from env RUEDO_TOKEN may have expired"})
	file := me.file("tokens", "file")
	if err := os.Mkdir(me.file("tokens"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(given), 0o604); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o604); err != nil {
		t.Fatal(err)
	}
	me.env = slices.DeleteFunc(me.env, func(kv string) bool { return strings.HasPrefix(kv, "RUEDO_TOKEN=") })
	me.env = append(me.env, "RUEDO_CLIENT_TOKEN_FILE="+file)
	c.good[given] = true
	if runtime.GOOS != "windows" {
		me.do(t, try{args: words("whoami"), code: fault.ExitUsage, stderr: "everybody on this machine can read or change the token in " + file})
	}
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	me.do(t, try{args: words("whoami -o json"), stdout: `"id": "` + given[8:18] + `"`})
	me.hidden(t, given[20:40])
}

// On the machine of a core, its owner needs no login.
func TestTheSocketComesFirst(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("cores have no sockets there")
	}
	c := newHouse(t, "site-a", false)
	port := c.url[strings.LastIndexByte(c.url, ':')+1:]
	run, err := os.MkdirTemp("/tmp", "ruedo")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(run) })
	c.onSocket(t, run, port)
	me := newHome(t, "XDG_RUNTIME_DIR="+run, "RUEDO_CLIENT_HOST=127.0.0.1:"+port)
	me.do(t,
		try{args: words("whoami -v"), stdout: "local/ada", stderr: "core: unix:" + run},
		try{args: words("logout"), code: fault.ExitUsage, stderr: "nobody is logged in here"},
		try{args: []string{"whoami", "--host", "unix:" + filepath.Join(run, "ruedo", "core-"+port+".sock")}, stdout: "local/ada"},
	)
	given := token.New(token.Bearer).Reveal()
	c.good[given] = true
	me.env = append(me.env, "RUEDO_TOKEN="+given)
	me.do(t, try{args: words("whoami"), stdout: "user/ada"})
	if last := c.shown[len(c.shown)-1]; last != "WhoAmI tcp "+given[8:18] {
		t.Errorf("with a token, it asked %s", last)
	}
	// A directory that others can write to is not trusted.
	me.env = me.env[:len(me.env)-1]
	if err := os.Chmod(filepath.Join(run, "ruedo"), 0o777); err != nil {
		t.Fatal(err)
	}
	me.do(t, try{args: words("whoami"), code: fault.ExitDenied})
}

// loggedIn returns a cluster, and the home of somebody who is logged in to it.
func loggedIn(t *testing.T) (*house, *home) {
	t.Helper()
	c, me := newHouse(t, "site-a", true), newHome(t)
	me.do(t, try{args: words("login"), stdin: c.link(t) + "\n" + password + "\n"})
	return c, me
}

func TestUsers(t *testing.T) {
	c, me := loggedIn(t)
	code, link, said := me.run(t, "", "create", "user", "bob", "--role", "viewer", "--grant", "call service team-a-*")
	if code != 0 || link != c.url+"/#"+c.invite.Reveal()+"\n" || !strings.Contains(said, "created user bob\nThis link lets bob set a password, once, until ") {
		t.Errorf("exit code %d\n%s\n%s", code, link, said)
	}
	if u := c.users["bob"]; !slices.Equal(u.GetRoles(), []string{"viewer"}) || !slices.Equal(u.GetGrants(), []string{"call service team-a-*"}) {
		t.Errorf("%v", u)
	}
	me.do(t,
		try{args: words("create user eve -o json"), stdout: `"link": "` + c.url + "/#" + c.invite.Reveal()},
		try{args: words("create user eve -o name"), code: fault.ExitUsage, stderr: "-o name would lose the link"},
		try{args: words("create user ci --machine"), stdout: "created user ci\n", stderr: "ruedo create token --user ci"},
		try{args: words("get users"), stdout: "bob    person    invited   viewer   call service team-a-*"},
		try{args: words("get users ci -o name"), stdout: "ci\n"},
		try{args: words("get user bbo"), code: fault.ExitNotFound, stderr: "did you mean bob?"},
		try{args: words("describe user bob"), stdout: "Roles:         viewer\n"},
		try{args: words("describe user nobody"), code: fault.ExitNotFound, stderr: "fix: ruedo get users"},
		try{args: words("__complete -- grant b"), stdout: "bob\n"},

		try{args: words("grant bob role:publisher 'use  decorator small' role:viewer"), stdout: "granted to bob: role:publisher, use  decorator small, role:viewer\n"},
		try{args: words("grant bob 'fly service x'"), code: fault.ExitInvalid, stderr: `"fly" is not a verb`},
		try{args: words("grant nobody role:viewer"), code: fault.ExitNotFound},
		try{args: words("revoke bob role:viewer"), stdout: "revoked from bob: role:viewer\n"},
		try{args: words("revoke bob role:viewer"), code: fault.ExitUsage, stderr: "user bob does not have role:viewer itself"},
		try{args: words("grant anonymous 'call service public-*'"), stdout: "granted to anonymous"},
		try{args: words("update user bob --disable --description 'on leave'"), stdout: "updated user bob\n"},
		try{args: words("update user bob"), code: fault.ExitUsage, stderr: "there is nothing to change"},
	)
	if u := c.users["bob"]; !slices.Equal(u.GetRoles(), []string{"publisher"}) || !slices.Equal(u.GetGrants(), []string{"call service team-a-*", "use decorator small"}) || !u.GetDisabled() || u.GetDescription() != "on leave" {
		t.Errorf("%v", u)
	}
	if u := c.users["anonymous"]; !u.GetMachine() || !slices.Equal(u.GetGrants(), []string{"call service public-*"}) {
		t.Errorf("%v", u)
	}
	c.conflicts = 2 // others change the user at the same time
	me.do(t,
		try{args: words("grant bob role:caller"), stdout: "granted to bob"},
		try{args: []string{"update", "user", "bob", "--enable", "--grant", ""}, stdout: "updated user bob\n"},
	)
	if u := c.users["bob"]; !slices.Equal(u.GetRoles(), []string{"publisher", "caller"}) || len(u.GetGrants()) > 0 || u.GetDisabled() {
		t.Errorf("%v", u)
	}
}

func TestTokens(t *testing.T) {
	c, me := loggedIn(t)
	code, secret, said := me.run(t, "", "create", "token", "--user", "ci", "--expires", "90d", "--grant", "call service greet")
	secret = strings.TrimSpace(secret)
	if code != 0 || !c.good[secret] || !strings.Contains(said, "of user ci, good until ") || strings.Contains(said, secret[20:]) {
		t.Errorf("exit code %d\n%s\n%s", code, secret, said)
	}
	me.do(t,
		try{args: words("create token -o name"), code: fault.ExitUsage, stderr: "-o name would lose the secret"},
		try{args: words("create token --expires soon"), code: fault.ExitUsage, stderr: `"soon" is not a duration`},
		try{args: words("get tokens"), stdout: secret[8:18] + "   ada"},
		try{args: []string{"describe", "token", secret[8:18]}, stdout: "Id:            " + secret[8:18]},
		try{args: words("describe token nothing"), code: fault.ExitNotFound, stderr: "fix: ruedo get tokens"},
		try{args: words("create token --offline --user ci"), code: fault.ExitUsage, stderr: "has no other flags"},
		try{args: words("delete tokens"), code: fault.ExitUsage, stderr: "either names or --all is expected"},
		try{args: words("delete tokens --all"), code: fault.ExitUsage, stderr: "fix: add --yes"},
	)
	// Without a core: the first administrator of an unattended installation.
	nobody := newHome(t, "RUEDO_CLIENT_HOST=127.0.0.1:1")
	code, offline, _ := nobody.run(t, "", "create", "token", "--offline")
	if _, err := token.Parse(token.Bearer, strings.TrimSpace(offline)); code != 0 || err != nil {
		t.Errorf("exit code %d, %v\n%s", code, err, offline)
	}
	// Who rotates the token of the profile goes on with the new one.
	own := me.token(t, "site-a")
	code, rotated, _ := me.run(t, "", "rotate", "token", own[8:18], "--grace", "1h")
	if code != 0 || me.token(t, "site-a") != strings.TrimSpace(rotated) || me.token(t, "site-a") == own {
		t.Errorf("exit code %d\n%s\n%s", code, rotated, me.token(t, "site-a"))
	}
	me.do(t, try{args: words("delete tokens --all -y"), stdout: "ended all tokens and sessions of all users\n"})
	if !c.everybody {
		t.Error("only some have ended")
	}
}

func TestCanAndAuthority(t *testing.T) {
	c, me := loggedIn(t)
	me.do(t,
		try{args: words("can read service greet"), stdout: "yes\n"},
		try{args: words("can write service greet"), code: fault.ExitDenied, stdout: "no\n"},
		try{args: words("can write cluster -o json"), code: fault.ExitDenied, stdout: `"allowed": false`},
		try{args: words("get authority"), stdout: "Pin:       " + c.authority.Pin()},
		try{args: words("get authority -o name"), stdout: c.authority.Pin() + "\n"},
		try{args: words("rotate authority"), code: fault.ExitUsage, stderr: "fix: add --yes"},
		try{args: words("update cluster --auth off"), code: fault.ExitUsage},
	)
}

func TestAudit(t *testing.T) {
	_, me := loggedIn(t)
	me.do(t,
		try{args: words("get audit"), stdout: "anonymous   login     user/ada        UNAUTHENTICATED (7 times)   tcp"},
		try{args: words("get audit --denied -o name"), stdout: "c1/2\n"},
		try{args: words("get audit --since 7d --by ada --on service/greet -o json"), stdout: `"items": [`},
	)
	code, lines, _ := me.run(t, "", "get", "audit", "-o", "jsonl")
	list := strings.Split(strings.TrimSpace(lines), "\n")
	for _, line := range list {
		var record struct{ Principal string }
		if err := json.Unmarshal([]byte(line), &record); err != nil || record.Principal == "" {
			t.Errorf("%s: %v", line, err)
		}
	}
	if code != 0 || len(list) != 2 {
		t.Errorf("exit code %d\n%s", code, lines)
	}
}
