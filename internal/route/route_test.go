package route_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/route"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]*ruedov1.Route{
		"/shop/":                         {Path: "/shop/"},
		" GET,POST shop.example.com/ ":   {Host: "shop.example.com", Path: "/", Methods: []string{"GET", "POST"}},
		"DELETE /items":                  {Path: "/items", Methods: []string{"DELETE"}},
		"shop.example.com/call/":         {Host: "shop.example.com", Path: "/call/"},
		"/shop.v1.ShopService/":          {Path: "/shop.v1.ShopService/"},
		"xn--bcher-kva.example/~a/b;c=1": {Host: "xn--bcher-kva.example", Path: "/~a/b;c=1"},
	} {
		got, err := route.Parse(text)
		if err != nil || !proto.Equal(got, want) {
			t.Errorf("%q: %v, %v", text, got, err)
			continue
		}
		if again, err := route.Parse(route.Text(got)); err != nil || !proto.Equal(again, want) {
			t.Errorf("%q is written as %q: %v, %v", text, route.Text(got), again, err)
		}
	}
	for text, words := range map[string]string{
		"":                              "has no path",
		"shop.example.com":              "has no path",
		"Shop.example.com/":             "lower case",
		"shop.example.com:80/":          "no port",
		"https://shop.example.com/":     "a route has no scheme",
		"*.example.com/":                "no wildcards",
		"127.0.0.1/":                    "a name with a dot",
		"[::1]/":                        "a name with a dot",
		"localhost/":                    "a name with a dot",
		"a..b/":                         "not the name of a host",
		"-a.example/":                   "not the name of a host",
		"get /a/":                       "not a method",
		"GET,GET /a/":                   "twice",
		"GET, /a/":                      "not a method",
		"/a/*":                          "no wildcards",
		"/a/{id}":                       "no wildcards",
		"/a?b=1":                        "characters",
		"/a%2Fb":                        "characters",
		"/a//b":                         "empty segment",
		"/a/../b":                       "empty segment",
		"/" + strings.Repeat("a", 1024): "over the limit",
		"/":                             "the API",
		"/call/":                        "the API",
		"/call":                         "the API",
		"/svc/shop/":                    "the API",
		"/metrics":                      "the API",
		"/ruedo.v1.ServiceService/":     "the API",
		"/grpc.health.v1.Health/":       "the API",
	} {
		if r, err := route.Parse(text); err == nil {
			t.Errorf("%q is %v", text, r)
		} else {
			testkit.WantReason(t, err, fault.RequestInvalid, words, "")
		}
	}
	if err := route.Check(&ruedov1.Route{Host: "core.example.com", Path: "/"}, "core.example.com"); err == nil {
		t.Error("a route takes the host of the API")
	}
	if err := route.Check(&ruedov1.Route{Host: "core.example.com", Path: "/shop/"}, "core.example.com"); err != nil {
		t.Error(err)
	}
}

func TestConflict(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"/a/", "/a/", true},
		{"/a/", "/a", false},
		{"/a/", "/a/b/", false},
		{"/a/", "x.example/a/", false},
		{"GET /a/", "POST /a/", false},
		{"GET /a/", "/a/", true},
		{"GET,PUT /a/", "POST,PUT /a/", true},
		{"HEAD /a/", "GET /a/", true},
		{"HEAD /a/", "POST /a/", false},
	} {
		a, b := parse(t, tt.a), parse(t, tt.b)
		if route.Conflict(a, b) != tt.want || route.Conflict(b, a) != tt.want {
			t.Errorf("%s and %s: want %v", tt.a, tt.b, tt.want)
		}
	}
}

func parse(t testing.TB, text string) *ruedov1.Route {
	t.Helper()
	r, err := route.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func table(t testing.TB, routes ...string) *route.Table {
	t.Helper()
	all := route.NewTable()
	for _, text := range routes {
		if service, at, _ := strings.Cut(text, ": "); !all.Add(service, parse(t, at)) {
			t.Fatalf("%s conflicts", text)
		}
	}
	return all
}

func TestTheLongestPathWins(t *testing.T) {
	all := table(t,
		"shop: /shop/", "items: /shop/items/", "reader: GET /shop/items/list", "writer: POST,PUT /shop/items/list",
		"site: site.example/", "reader: GET site.example/api/", "writer: POST site.example/api/",
	)
	if all.Add("other", parse(t, "GET /shop/")) {
		t.Error("a conflict is added")
	}
	for request, want := range map[string]string{
		"GET any /shop/":                                   "shop",
		"GET any /shop":                                    "",
		"GET any /shopping/":                               "",
		"GET any /shop/items":                              "shop",
		"GET any /shop/items/":                             "items",
		"GET any /shop/items/7":                            "items",
		"GET any /shop/items/list":                         "reader",
		"PUT any /shop/items/list":                         "writer",
		"HEAD any /shop/items/list":                        "reader",
		"GET any /shop/items/list/x":                       "items",
		"GET any /shop/items/listing":                      "items",
		"GET any /":                                        "",
		"GET site.example /":                               "site",
		"GET SITE.example.:8080 /x":                        "site",
		"POST site.example /api/x":                         "writer",
		"PUT site.example /api/x":                          "site",
		"GET site.example /shop/items/list":                "site",
		"GET other.example /shop/x":                        "shop",
		"GET [::1]:80 /shop/x":                             "shop",
		"GET any /shop/" + strings.Repeat("x/", 4096):      "shop",
		"GET any /shop/items/" + strings.Repeat("x", 4096): "items",
		"GET any *":                                        "",
	} {
		parts := strings.Fields(request)
		got, ok := all.Lookup(parts[1], parts[2], parts[0])
		if got != want || ok != (want != "") {
			t.Errorf("%.80s: %q, want %q", request, got, want)
		}
	}
	var none *route.Table
	if _, ok := none.Lookup("a", "/", "GET"); ok {
		t.Error("no table has a route")
	}
}

func TestLookupAllocatesNothing(t *testing.T) {
	all := table(t, "shop: /shop/", "site: site.example/api/")
	if n := testing.AllocsPerRun(100, func() {
		all.Lookup("site.example:8080", "/api/x/y/z", "GET")
		all.Lookup("other.example", "/shop/x/y/z", "GET")
		all.Lookup("other.example", "/none", "GET")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzLookup compares the table with the rule that its comment states.
func FuzzLookup(f *testing.F) {
	f.Add("/a/b/c", "GET", uint8(3))
	f.Add("/a/", "POST", uint8(7))
	f.Add("/a/b/", "HEAD", uint8(255))
	routes := []string{"/a/", "/a/b", "GET /a/b/", "/a/b/c/", "POST /a/b/c", "x.example/", "x.example/a/", "PUT x.example/a/b/"}
	f.Fuzz(func(t *testing.T, path, method string, which uint8) {
		all := route.NewTable()
		var added []*ruedov1.Route
		for i, text := range routes {
			if which&(1<<i) != 0 {
				r := parse(t, text)
				all.Add(fmt.Sprint(i), r)
				added = append(added, r)
			}
		}
		for _, host := range []string{"x.example", "y.example"} {
			var best *ruedov1.Route
			for _, r := range added {
				switch {
				case r.GetHost() != "" && r.GetHost() != host:
				case path != r.GetPath() && !(strings.HasSuffix(r.GetPath(), "/") && strings.HasPrefix(path, r.GetPath())):
				case len(r.GetMethods()) > 0 && !slices.Contains(r.GetMethods(), method) && !(method == "HEAD" && slices.Contains(r.GetMethods(), "GET")):
				case best == nil, r.GetHost() > best.GetHost(), r.GetHost() == best.GetHost() && len(r.GetPath()) > len(best.GetPath()):
					best = r
				}
			}
			got, ok := all.Lookup(host, path, method)
			want := ""
			if best != nil {
				want = fmt.Sprint(slices.Index(routes, route.Text(best)))
			}
			if got != want || ok != (want != "") {
				t.Errorf("%s %s%q: %q, want %q", method, host, path, got, want)
			}
		}
	})
}
