package cli

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/pki"
	"github.com/ruedo-dev/ruedo/internal/pki/pkitest"
)

// Where cores let nobody in without a certificate, commands show the one that a flag, a
// setting or the profile names.
func TestAClientCertificate(t *testing.T) {
	users := pkitest.NewForeign(t)
	lock, err := pki.NewLock(pki.FilesConfig{CertificateFile: pkitest.CAFile(t, users)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, me := newLocked(t, "site-a", true, lock), newHome(t)
	ada, eve := pkitest.NewPair(t, users, pkitest.ForHost("ada")), pkitest.NewPair(t, pkitest.NewForeign(t), pkitest.ForHost("ada"))
	in := c.link(t) + "\n" + password + "\n"
	refused := try{code: fault.ExitDenied}
	with := func(step try, stderr string, args ...string) try {
		step.args, step.stdin, step.stderr = args, in, stderr
		return step
	}
	me.do(t,
		with(refused, "error: the core asks for a client certificate, and none was shown", "login"),
		with(refused, "fix: name one in client.certificate_file, and its key in client.private_key_file", "login"),
		with(refused, "not of an authority that it trusts", "login", "--certificate-file", eve.Cert, "--private-key-file", eve.Key),
		with(try{code: fault.ExitUsage}, "a certificate and its private key belong together", "login", "--certificate-file", ada.Cert),
	)
	if len(c.shown) > 0 {
		t.Fatalf("it was asked: %q", c.shown)
	}
	login := with(try{stdout: "authority pinned · password set · logged in to site-a as ada"}, "", "login", "--certificate-file", ada.Cert, "--private-key-file", ada.Key)
	me.do(t, login,
		// The profile names it from now on.
		try{args: words("whoami"), stdout: "user/ada"},
		try{args: []string{"login", c.url, "ada"}, stdin: password + "\n", stdout: "logged in to site-a as ada"},
		try{args: words("get profiles -o json"), stdout: `"certificate_file": "` + ada.Cert + `"`},
		try{args: []string{"create", "profile", "again", "--host", c.url, "--certificate-file", ada.Cert, "--private-key-file", ada.Key}, stdout: "created profile again"},
	)
	for _, name := range []string{"site-a", "again"} {
		data, err := os.ReadFile(me.file(".config", "ruedo", "profiles", name+".yaml"))
		if err != nil || !strings.Contains(string(data), "certificate_file: "+ada.Cert) || !strings.Contains(string(data), "private_key_file: "+ada.Key) {
			t.Errorf("profile %s: %s, %v", name, data, err)
		}
	}
	other := *me
	other.env = append(other.env[:len(other.env):len(other.env)], "RUEDO_CLIENT_CERTIFICATE_FILE="+eve.Cert, "RUEDO_CLIENT_PRIVATE_KEY_FILE="+eve.Key)
	other.do(t, try{args: words("whoami"), code: fault.ExitDenied, stderr: "not of an authority that it trusts (https://127.0.0.1:"})
	// The key is a secret, and its place is none.
	me.hidden(t, "PRIVATE KEY")
	if runtime.GOOS == "windows" {
		return
	}
	if err := os.Chmod(ada.Key, 0o644); err != nil {
		t.Fatal(err)
	}
	me.do(t, try{args: words("whoami"), code: fault.ExitUsage, stderr: "everybody on this machine can read or change the private key in " + ada.Key + " (mode 0644), so it is not used\nfix: chmod 600 "})
}
