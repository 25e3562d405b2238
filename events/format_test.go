package events_test

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/spillwayhq/spillway/shared/message"
)

// A vector is a body and what a reader must find in it; docs/message-format.md is its
// specification.
type vector struct {
	What         string
	Body         string
	Reason       string // of the dead letter, where the body can't be read
	WriteKey     string
	Origin       string // empty: the body does not say
	ReceivedAt   time.Time
	Context      string
	Integrations string
	Events       []string // each to the byte
	Problems     []string // the code of each event; none: all can be delivered
	Archive      string   // what the frame of an archive-only message holds, decompressed
}

func TestTheVectorsOfTheMessageFormatAreReadAsTheyPromise(t *testing.T) {
	names, err := filepath.Glob("format/*.json")
	if err != nil || len(names) < 10 {
		t.Fatalf("%d vectors: %v", len(names), err)
	}
	d, err := message.NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			var v vector
			if err := json.Unmarshal(file(t, name), &v); err != nil {
				t.Fatal(err)
			}
			var m message.Content
			err := d.Decode([]byte(v.Body), &m)
			if v.Reason != "" {
				var e *message.DecodeError
				if !errors.As(err, &e) || e.Reason != v.Reason {
					t.Errorf("%s: the error is %v, want a dead letter %s", v.What, err, v.Reason)
				}
				unzip, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
				if err != nil {
					t.Fatal(err)
				}
				defer unzip.Close()
				if lines, err := unzip.DecodeAll(m.ArchiveFrame, nil); err != nil || string(lines) != v.Archive {
					t.Errorf("%s: the frame of the archive holds %q (%v), want %q", v.What, lines, err, v.Archive)
				}
				return
			}
			if err != nil {
				t.Fatalf("%s: %v", v.What, err)
			}
			var origin string
			if m.HasOrigin {
				origin = m.Origin.String()
			}
			got := []string{m.WriteKey, origin, string(m.Context), string(m.Integrations)}
			if want := []string{v.WriteKey, v.Origin, v.Context, v.Integrations}; !slices.Equal(got, want) {
				t.Errorf("%s: write key, origin, context and integrations are %q, want %q", v.What, got, want)
			}
			if !m.ReceivedAt.Equal(v.ReceivedAt) {
				t.Errorf("%s: receivedAt is %v, want %v", v.What, m.ReceivedAt, v.ReceivedAt)
			}
			var events, problems []string
			for _, e := range m.Events {
				events = append(events, string(e.Raw))
				code := ""
				if e.Problem != nil {
					code = e.Problem.Code
				}
				problems = append(problems, code)
			}
			if v.Problems == nil {
				v.Problems = make([]string, len(v.Events))
			}
			if !slices.Equal(events, v.Events) || !slices.Equal(problems, v.Problems) {
				t.Errorf("%s: the events are %q with problems %q, want %q with %q", v.What, events, problems, v.Events, v.Problems)
			}
		})
	}
}
