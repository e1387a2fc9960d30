// Command sales sums up a CSV file of sales.
package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/sdk"
)

// Summary is the answer.
type Summary struct {
	Rows    int               `json:"rows"`
	From    time.Time         `json:"from"`
	To      time.Time         `json:"to"`
	Cents   int64             `json:"cents"`
	Regions map[string]Region `json:"regions"`
	Best    string            `json:"best"`
}

// Region is what was sold in one region.
type Region struct {
	Rows   int   `json:"rows"`
	Pieces int64 `json:"pieces"`
	Cents  int64 `json:"cents"`
}

// columns are the first line of each file.
var columns = []string{"day", "region", "product", "pieces", "cents"}

func init() { sdk.HandleBytes(handle) }

func handle(ctx context.Context, in []byte) ([]byte, error) {
	s, err := sum(in)
	if err != nil {
		return nil, err
	}
	slog.InfoContext(ctx, "summed up", "rows", s.Rows, "type", sdk.ContentType(ctx))
	sdk.SetContentType(ctx, "application/json")
	return json.Marshal(s)
}

func sum(in []byte) (*Summary, error) {
	r := csv.NewReader(bytes.NewReader(in))
	r.ReuseRecord = true
	head, err := r.Read()
	if err != nil || strings.Join(head, ",") != strings.Join(columns, ",") {
		return nil, sdk.Errorf(sdk.InvalidArgument, "the first line is not %s", strings.Join(columns, ","))
	}
	s := &Summary{Regions: map[string]Region{}}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, sdk.Errorf(sdk.InvalidArgument, "%w", err)
		}
		line, _ := r.FieldPos(0)
		if err := s.add(row); err != nil {
			return nil, sdk.Errorf(sdk.InvalidArgument, "line %d: %w", line, err)
		}
	}
	for name, region := range s.Regions {
		if best := s.Regions[s.Best]; region.Cents > best.Cents || region.Cents == best.Cents && name < s.Best {
			s.Best = name
		}
	}
	return s, nil
}

func (s *Summary) add(row []string) error {
	day, err := time.Parse(time.DateOnly, row[0])
	if err != nil {
		return err
	}
	pieces, err := strconv.ParseInt(row[3], 10, 64)
	if err != nil {
		return err
	}
	cents, err := strconv.ParseInt(row[4], 10, 64)
	if err != nil {
		return err
	}
	if s.Rows == 0 || day.Before(s.From) {
		s.From = day
	}
	if day.After(s.To) {
		s.To = day
	}
	name := strings.Clone(row[1])
	region := s.Regions[name]
	region.Rows++
	region.Pieces += pieces
	region.Cents += pieces * cents
	s.Regions[name] = region
	s.Rows++
	s.Cents += pieces * cents
	return nil
}

func main() { sdk.Main() }
