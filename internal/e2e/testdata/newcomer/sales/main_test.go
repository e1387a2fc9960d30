package main

import (
	"strings"
	"testing"
)

func TestSum(t *testing.T) {
	s, err := sum([]byte("day,region,product,pieces,cents\n2026-01-02,north,pen,2,100\n2026-01-01,south,\"ink, blue\",1,300\n"))
	if err != nil {
		t.Fatal(err)
	}
	if s.Rows != 2 || s.Cents != 500 || s.Best != "south" || !s.From.Before(s.To) {
		t.Errorf("got %+v", s)
	}
}

func TestABadLineIsNamed(t *testing.T) {
	_, err := sum([]byte("day,region,product,pieces,cents\n2026-01-02,north,pen,2,100\n2026-01-02,north,pen,two,100\n"))
	if err == nil || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("error is %v", err)
	}
}
