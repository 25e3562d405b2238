package limits

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

// compareScans compares the validation of an event's JSON with what deliver and ingest read of it:
// validity, Segment's rules, and where its fields are.
func compareScans(_ context.Context, all [][]byte, do func(comparison) error) error {
	var s rawjson.Scanner
	var e event.Event
	var received event.Received
	each := func(what string, read func([]byte) error) task {
		return onCPU(what, len(all), func(context.Context) error {
			for _, document := range all {
				if err := read(document); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return do(comparison{"of CPU",
		each("`json.Valid` of the standard library", func(document []byte) error {
			if !json.Valid(document) {
				return errors.New("an event is not JSON")
			}
			return nil
		}),
		[]task{
			each("the scan of an event in deliver", func(document []byte) error {
				s.Reset(document)
				return errors.Join(event.Scan(&s, document, &e), problem(e.Problem))
			}),
			each("the scan of an event at ingest", func(document []byte) error {
				s.Reset(document)
				return errors.Join(event.ScanReceived(&s, document, "", &received), problem(received.Problem))
			}),
		}})
}

// problem makes an error of a problem that an event has.
func problem(p *event.Problem) error {
	if p == nil {
		return nil
	}
	return errors.New("an event breaks Segment's rules")
}
