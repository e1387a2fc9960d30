package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/sdk"
)

// careless has every fault; careful is the same router without faults.
const careless = `! edge-1
version 15.2
hostname edge-1
enable password 7 0822455D0A16
username ops privilege 15 password 0 hunter2
ip http server
ip access-list extended INBOUND
 10 permit tcp any host 10.0.0.1 eq 443
 20 permit ip any any
access-list 101 permit ip any any log
snmp-server community public RO
snmp-server community s3cret RW
line con 0
 exec-timeout 0 0
line vty 0 4
 login local
 transport input telnet ssh
`

const careful = `version 15.2
service password-encryption
hostname edge-1
enable secret 9 $9$abc
username ops privilege 15 secret 9 $9$def
no ip http server
ip access-list extended INBOUND
 permit tcp any host 10.0.0.1 eq 443
snmp-server community k8Jq RO
ntp server 10.0.0.7
logging host 10.0.0.8
line con 0
 exec-timeout 10 0
 transport input telnet
line vty 0 4
 access-class 10 in
 transport input ssh
end
`

func call(t *testing.T, in Request) (Response, error) {
	t.Helper()
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	out, err := sdk.Call(t.Context(), b)
	if err != nil {
		return Response{}, err
	}
	var res Response
	if err := json.Unmarshal(out, &res); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return res, nil
}

func summary(res Response) string {
	var b strings.Builder
	for _, f := range res.Findings {
		fmt.Fprintf(&b, "%d %s %s|%s\n", f.Line, f.Severity, f.Rule, f.Text)
	}
	return b.String()
}

func TestCarelessConfiguration(t *testing.T) {
	for _, config := range []string{careless, strings.ReplaceAll(careless, "\n", "\r\n")} {
		res, err := call(t, Request{Config: config})
		if err != nil {
			t.Fatal(err)
		}
		want := `0 medium no-password-encryption|
0 low no-ntp|
0 low no-logging|
4 high enable-password|enable password ****
5 medium user-password|username ops privilege 15 password ****
6 medium http-server|ip http server
9 high permit-any-any|20 permit ip any any
10 high permit-any-any|access-list 101 permit ip any any log
11 high snmp-default-community|snmp-server community public RO
12 high snmp-write|snmp-server community **** RW
14 low no-exec-timeout|exec-timeout 0 0
15 medium vty-open|line vty 0 4
17 high telnet-enabled|transport input telnet ssh
`
		if got := summary(res); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
		if res.Checked != len(rules()) || res.Lines != 17 {
			t.Errorf("checked %d rules on %d lines", res.Checked, res.Lines)
		}
		for _, f := range res.Findings {
			if f.Advice == "" {
				t.Errorf("%s gives no advice", f.Rule)
			}
		}
	}
}

func TestCarefulConfiguration(t *testing.T) {
	res, err := call(t, Request{Config: careful})
	if err != nil || len(res.Findings) != 0 {
		t.Errorf("got %v\n%s", err, summary(res))
	}
	if res.Findings == nil {
		t.Error("no findings are null, not an empty list")
	}
}

func TestOptionsNarrow(t *testing.T) {
	for _, c := range []struct {
		rules    []string
		severity string
		findings int
		checked  int
	}{
		{nil, "low", 13, 12},
		{nil, "medium", 10, 9},
		{nil, "high", 6, 5},
		{[]string{"permit-any-any", "no-ntp"}, "", 3, 2},
		{[]string{"permit-any-any", "no-ntp"}, "high", 2, 1},
	} {
		res, err := call(t, Request{Config: careless, Rules: c.rules, Severity: c.severity})
		if err != nil || len(res.Findings) != c.findings || res.Checked != c.checked {
			t.Errorf("%v from %q: %d findings by %d rules, %v; want %d by %d", c.rules, c.severity, len(res.Findings), res.Checked, err, c.findings, c.checked)
		}
	}
}

func TestSecretsDoNotLeave(t *testing.T) {
	res, err := call(t, Request{Config: careless})
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"hunter2", "s3cret", "0822455D0A16"} {
		if strings.Contains(summary(res), secret) {
			t.Errorf("%s is in the findings", secret)
		}
	}
}

func TestRefusals(t *testing.T) {
	for want, in := range map[string]Request{
		"config has no line to look at": {Config: " \n!\n"},
		`there is no rule "telnet"`:     {Config: careful, Rules: []string{"telnet"}},
		`severity "urgent"`:             {Config: careful, Severity: "urgent"},
	} {
		_, err := call(t, in)
		var e *sdk.Error
		if !errors.As(err, &e) || e.Code != sdk.InvalidArgument || !strings.Contains(e.Message, want) {
			t.Errorf("got %v, want invalid_argument with %q", err, want)
		}
	}
}

func FuzzAudit(f *testing.F) {
	f.Add(careless)
	f.Add("line vty ")
	f.Add(" \taccess-list 1\n\x00password")
	f.Fuzz(func(t *testing.T, config string) {
		res, err := audit(t.Context(), Request{Config: config})
		if err != nil {
			return
		}
		for _, found := range res.Findings {
			if found.Line < 0 || found.Line > res.Lines {
				t.Errorf("line %d of %d", found.Line, res.Lines)
			}
		}
	})
}
