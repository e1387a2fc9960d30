package port_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/headers"
	"github.com/ruedo-dev/ruedo/internal/port"
	"github.com/ruedo-dev/ruedo/internal/port/origins"
)

func TestAPageOfAnotherSiteReachesNothing(t *testing.T) {
	s := port.New(port.Config{Hosts: []string{"core.example.com"}})
	mounted(nil)(s)
	for _, tt := range []struct {
		host   string
		header [2]string
		want   fault.Reason
	}{
		{host: "127.0.0.1:7833"}, {host: "127.0.0.1"}, {host: "[::1]:7833"}, {host: "::1"}, {host: "localhost:7833"}, {host: "LOCALHOST"},
		{host: "10.1.2.3:80"}, {host: "core:7833"}, {host: "core-1.local"}, {host: "core.svc.cluster.local:80"}, {host: "x.internal."},
		{host: "core.example.com"}, {host: "Core.Example.Com.:443"},
		{host: "evil.example", want: fault.HostNotAllowed},
		{host: "evil.example:7833", want: fault.HostNotAllowed},
		{host: "127.0.0.1.evil.example", want: fault.HostNotAllowed},
		{host: "core.example.com.evil.example", want: fault.HostNotAllowed},
		{host: "localhost.evil.example:80", want: fault.HostNotAllowed},
		{host: "localhost", header: [2]string{"Origin", "http://localhost"}},
		{host: "localhost", header: [2]string{"Sec-Fetch-Site", "same-origin"}},
		{host: "localhost", header: [2]string{"Origin", "http://evil.example"}, want: fault.OriginNotAllowed},
		{host: "localhost", header: [2]string{"Origin", "null"}, want: fault.OriginNotAllowed},
		{host: "localhost", header: [2]string{"Sec-Fetch-Site", "cross-site"}, want: fault.OriginNotAllowed},
		{host: "localhost", header: [2]string{"Sec-Fetch-Site", "same-site"}, want: fault.OriginNotAllowed},
	} {
		r := httptest.NewRequest(http.MethodPost, "http://localhost/echo", strings.NewReader("x"))
		r.Host = tt.host
		if tt.header[0] != "" {
			r.Header.Set(tt.header[0], tt.header[1])
		}
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		switch {
		case tt.want == "" && w.Code != http.StatusOK:
			t.Errorf("%s %v: %d %s", tt.host, tt.header, w.Code, w.Body)
		case tt.want != "" && (w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), string(tt.want))):
			t.Errorf("%s %v: %d %s, want %s", tt.host, tt.header, w.Code, w.Body, tt.want)
		}
	}
}

// A page of another site can show an answer, and link to it, but it cannot read one. It
// could read what comes by a WebSocket.
func TestAPageOfAnotherSiteGetsNoSocket(t *testing.T) {
	allowed, err := origins.Parse([]string{"https://app.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	s := port.New(port.Config{Origins: allowed})
	mounted(nil)(s)
	for _, tt := range []struct {
		origin, upgrade string
		refused         bool
	}{
		{"http://evil.example", "", false}, {"http://evil.example", "websocket", true}, {"null", "websocket", true},
		{"http://localhost", "websocket", false}, {"https://app.example.com", "websocket", false}, {"", "websocket", false}, {"", "h2c", false},
	} {
		r := httptest.NewRequest(http.MethodGet, "http://localhost/echo", nil)
		for name, value := range map[string]string{"Origin": tt.origin, "Upgrade": tt.upgrade} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if refused := strings.Contains(w.Body.String(), string(fault.OriginNotAllowed)); refused != tt.refused {
			t.Errorf("%+v: %d %s", tt, w.Code, w.Body)
		}
	}
}

// A client that names the cluster it means is answered by no other.
func TestARequestForAnotherClusterIsRefused(t *testing.T) {
	for _, tt := range []struct {
		cluster, named string
		refused        bool
	}{
		{"blue", "", false}, {"blue", "blue", false}, {"blue", "green", true}, {"", "green", false},
	} {
		s := port.New(port.Config{Cluster: tt.cluster})
		mounted(nil)(s)
		r := httptest.NewRequest(http.MethodPost, "http://localhost/echo", strings.NewReader("x"))
		if tt.named != "" {
			r.Header.Set(headers.Cluster, tt.named)
		}
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if refused := strings.Contains(w.Body.String(), string(fault.ClusterMismatch)); refused != tt.refused {
			t.Errorf("cluster %q, named %q: %d %s", tt.cluster, tt.named, w.Code, w.Body)
		}
	}
}
