package peers

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDefaults(t *testing.T) {
	c, err := Config{Listen: "127.0.0.1:7834"}.WithDefaults()
	if err != nil || c.Advertise != "http://127.0.0.1:7834" || c.Name != "127.0.0.1:7834" || c.Exposed() {
		t.Errorf("%+v, %v", c, err)
	}
	c, err = Config{Listen: "0.0.0.0:7834", Advertise: "db1.example.net:7834", Insecure: true, Initial: []string{"db1.example.net:7834/", "http://db2:7834"}}.WithDefaults()
	if err != nil || c.Advertise != "http://db1.example.net:7834" || c.Initial[0] != c.Advertise || !c.Exposed() {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err = (Config{Listen: ":7834", Insecure: true}).WithDefaults(); err != nil || strings.Contains(c.Advertise, "//:") {
		t.Errorf("advertises %s, %v", c.Advertise, err)
	}
}

func TestRefusedSettings(t *testing.T) {
	for says, c := range map[string]Config{
		"is not host:port": {Listen: "127.0.0.1"},
		"needs a port":     {Listen: "127.0.0.1:0"},
		"without certificates anyone who can reach": {Listen: "10.0.0.1:7834"},
		"advertised as http://db1:7834, is refused": {Listen: "127.0.0.1:7834", Advertise: "http://db1:7834"},
		"begins with https, but there are no":       {Listen: "127.0.0.1:7834", Advertise: "https://127.0.0.1:7834"},
		"is not the URL of a member":                {Listen: "127.0.0.1:7834", Advertise: "http://127.0.0.1/path"},
		"must be set together":                      {Listen: "127.0.0.1:7834", CertFile: "cert.pem"},
		"cannot be used: open none.pem":             {Listen: "127.0.0.1:7834", CertFile: "none.pem", KeyFile: "none.pem", CAFile: "none.pem"},
		"does not contain http://127.0.0.1:7834":    {Listen: "127.0.0.1:7834", Initial: []string{"127.0.0.1:1"}},
		"exclude each other":                        {Listen: "127.0.0.1:7834", Initial: []string{"127.0.0.1:7834"}, Cores: noCores{}},
		"without spaces, commas and equals signs":   {Listen: "127.0.0.1:7834", Name: "a=b"},
	} {
		_, err := c.WithDefaults()
		if e, ok := errors.AsType[*fault.Error](err); !ok || e.Reason != fault.ConfigInvalid || !strings.Contains(e.Message, says) {
			t.Errorf("%+v: %v, want CONFIG_INVALID and %q", c, err, says)
		}
	}
}

type noCores struct{ Cores }

func TestAMemberBeyondThisMachineNeedsCertificates(t *testing.T) {
	c := Config{Listen: "127.0.0.1:7834"}
	if _, err := c.CheckURL("http://10.0.0.1:7834"); !errors.Is(err, fault.ConfigInvalid) {
		t.Errorf("%v, want CONFIG_INVALID", err)
	}
	c.Insecure = true
	if got, err := c.CheckURL("10.0.0.1:7834/"); err != nil || got != "http://10.0.0.1:7834" {
		t.Errorf("%s, %v", got, err)
	}
}

func TestTicks(t *testing.T) {
	for name, want := range map[string]Tick{
		"single": {10 * time.Millisecond, 100 * time.Millisecond}, "near": {50 * time.Millisecond, 500 * time.Millisecond},
		"wan": {100 * time.Millisecond, time.Second}, "": {50 * time.Millisecond, 500 * time.Millisecond},
	} {
		if got := Ticks(name); got != want {
			t.Errorf("tick %q is %v, want %v", name, got, want)
		}
	}
}

// What answers at the address of a member need not be one.
func TestAskingWhatIsNoMember(t *testing.T) {
	silent := make(chan struct{})
	for what, h := range map[string]http.HandlerFunc{
		"a page":        func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) },
		"an error":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) },
		"no end":        func(w http.ResponseWriter, r *http.Request) { endless(w) },
		"another place": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"nothing":       func(http.ResponseWriter, *http.Request) { <-silent },
	} {
		t.Run(what, func(t *testing.T) {
			srv := httptest.NewServer(h)
			defer srv.Close()
			defer func() {
				if what == "nothing" {
					close(silent)
				}
			}()
			began := time.Now()
			a := Config{}.Ask(t.Context(), []string{srv.URL})[0]
			if a.Membership != nil || a.Err == nil {
				t.Errorf("%+v", a)
			}
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func endless(w http.ResponseWriter) {
	w.Header().Set("X-Etcd-Cluster-Id", "1")
	page := make([]byte, 64<<10)
	for {
		if _, err := w.Write(page); err != nil {
			return
		}
	}
}

func TestOneAnswerInFavorIsEnough(t *testing.T) {
	id := Identity{Path: "/data", Cluster: 7, Member: 1}
	has := Answer{Membership: &Membership{Cluster: 7, Members: []Member{{ID: 1}}}}
	lacks := Answer{Membership: &Membership{Cluster: 7, Members: []Member{{ID: 2}}}}
	foreign := Answer{Membership: &Membership{Cluster: 8, Members: []Member{{ID: 1}}}}
	for want, answers := range map[fault.Reason][]Answer{
		"":                    {lacks, foreign, has},
		fault.MemberRemoved:   {lacks, foreign},
		fault.ClusterMismatch: {foreign},
	} {
		err := id.check(answers)
		if want == "" && err != nil || want != "" && !errors.Is(err, want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// silent is a cluster whose cores refuse the first question, and leave the next ones
// open.
type silent struct {
	Cores
	asked int
}

func (s *silent) Members(ctx context.Context) (*Membership, error) {
	if s.asked++; s.asked == 1 {
		return nil, fault.New(fault.CoreUnreachable, "no core answers")
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

// A question that is cut short by the end of the start does not hide what an earlier
// one found out.
func TestAJoinThatGivesUpSaysWhatWasWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cores := &silent{}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := (Config{Cores: cores}).Begin(ctx); !errors.Is(err, fault.CoreUnreachable) || cores.asked != 2 {
			t.Errorf("%v after %d questions", err, cores.asked)
		}
	})
}
