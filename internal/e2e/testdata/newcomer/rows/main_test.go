package main

import (
	"testing"

	"github.com/ruedo-dev/ruedo/sdk"
)

func TestRows(t *testing.T) {
	got, err := sdk.Do(t.Context(), sdk.Request{ContentType: "text/csv", Input: []byte("day,region,product,pieces,cents\n2026-01-01,north,\"ink, blue\",2,100\n")})
	want := `{"line":2,"day":"2026-01-01","region":"north","product":"ink, blue","pieces":"2","cents":"100"}` + "\n"
	if err != nil || string(got.Output) != want || got.ContentType != "application/x-ndjson" {
		t.Errorf("got %s as %s, %v; want %s", got.Output, got.ContentType, err, want)
	}
}
