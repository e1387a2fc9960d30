package proxies_test

import (
	"net/http"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/port/proxies"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func TestClient(t *testing.T) {
	trusted, err := proxies.Parse([]string{"10.0.0.0/8", "192.168.1.7", "fd00::/8"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from      string
		forwarded []string
		want      string
	}{
		{"10.0.0.2", []string{"203.0.113.9"}, "203.0.113.9"},
		{"10.0.0.2", nil, "10.0.0.2"},
		// What anybody has sent is in front of what the proxy has added.
		{"10.0.0.2", []string{"1.2.3.4, 203.0.113.9"}, "203.0.113.9"},
		{"10.0.0.2", []string{"1.2.3.4", "203.0.113.9"}, "203.0.113.9"},
		{"10.0.0.2", []string{"127.0.0.1, 203.0.113.9, 192.168.1.7"}, "203.0.113.9"},
		{"fd00::1", []string{"203.0.113.9:4711"}, "203.0.113.9"},
		{"::ffff:10.0.0.2", []string{"[2001:db8::1]:80"}, "2001:db8::1"},
		{"10.0.0.2", []string{"10.0.0.3, 10.0.0.4"}, "10.0.0.3"},
		// Nobody else is believed.
		{"203.0.113.9", []string{"127.0.0.1"}, "203.0.113.9"},
		{"192.168.1.8", []string{"127.0.0.1"}, "192.168.1.8"},
		{"", []string{"127.0.0.1"}, ""},
		{"10.0.0.2", []string{"unknown"}, "10.0.0.2"},
		{"10.0.0.2", []string{"127.0.0.1, unknown"}, "10.0.0.2"},
	} {
		h := http.Header{"X-Forwarded-For": c.forwarded}
		if got := trusted.Client(c.from, h); got != c.want {
			t.Errorf("%q by way of %s: %s, want %s", c.forwarded, c.from, got, c.want)
		}
		if got := proxies.Trusted(nil).Client(c.from, h); got != c.from {
			t.Errorf("without trusted proxies: %s", got)
		}
	}
	for _, text := range []string{"", "10.0.0.0/33", "example.com", "10.0.0.1:80"} {
		_, err := proxies.Parse([]string{text})
		testkit.WantReason(t, err, fault.ConfigInvalid)
	}
}
