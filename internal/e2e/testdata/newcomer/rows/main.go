// Command rows answers with each line of a CSV file of sales as a JSON object.
package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"

	"github.com/ruedo-dev/ruedo/sdk"
)

// Row is a line of the file.
type Row struct {
	Line    int    `json:"line"`
	Day     string `json:"day"`
	Region  string `json:"region"`
	Product string `json:"product"`
	Pieces  string `json:"pieces"`
	Cents   string `json:"cents"`
}

func init() { sdk.HandleBytes(handle) }

func handle(ctx context.Context, in []byte) ([]byte, error) {
	r := csv.NewReader(bytes.NewReader(in))
	r.FieldsPerRecord = 5
	if _, err := r.Read(); err != nil {
		return nil, sdk.Errorf(sdk.InvalidArgument, "there is no first line: %w", err)
	}
	r.ReuseRecord = true
	out := bytes.NewBuffer(make([]byte, 0, 4*len(in)))
	enc := json.NewEncoder(out)
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, sdk.Errorf(sdk.InvalidArgument, "%w", err)
		}
		line, _ := r.FieldPos(0)
		if err := enc.Encode(&Row{line, row[0], row[1], row[2], row[3], row[4]}); err != nil {
			return nil, err
		}
	}
	sdk.SetContentType(ctx, "application/x-ndjson")
	return out.Bytes(), nil
}

func main() { sdk.Main() }
