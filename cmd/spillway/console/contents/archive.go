package contents

import (
	"context"
	"fmt"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/console"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/history"
)

// Archive is that of a pipeline.
type Archive struct {
	Store   archive.Store // nil: the pipeline keeps none
	Delayed bool          // Firehose writes it, some time later
}

const (
	// ArchivePlace is the name of the archive among the places that were searched.
	ArchivePlace = "Archive"
	// archivedFor is how far back a page searches the archive.
	archivedFor = 24 * time.Hour
)

// FindArchived returns the sightings in an archive. name returns what may be shown of a write key;
// progress may be nil.
func FindArchived(ctx context.Context, a Archive, q history.Query, name func(writeKey string) string,
	progress func(history.Progress)) (found []console.Sighting, place console.Place) {
	place.Name = ArchivePlace
	if a.Store == nil {
		place.Failed = "this pipeline keeps none"
		return nil, place
	}
	result, err := history.Search(ctx, a.Store, q, progress)
	for i := range result.Found {
		found = append(found, archivedSighting(&result.Found[i], name))
	}
	place.Says, place.Left = saysOfArchive(&result, q.From, a.Delayed), result.Total-len(result.Found)
	if err != nil {
		place.Failed = err.Error()
	}
	return found, place
}

// saysOfArchive says how much of the archive was searched.
func saysOfArchive(r *history.Result, from time.Time, delayed bool) string {
	says := "what arrived since " + from.UTC().Truncate(time.Hour).Format("2006-01-02 15:04 UTC")
	if r.Indexed {
		says += ", by its index"
	} else {
		says += ", in " + terminal.Plural(r.Objects, "object")
	}
	if delayed {
		says += fmt.Sprintf("; what ended in the last %.0f minutes may not be there yet", topology.ArchiveDelay.Minutes())
	}
	if left := r.Total - len(r.Found); left > 0 {
		says += fmt.Sprintf("; %s not shown", terminal.Plural(left, "older record"))
	}
	if n := len(r.Damage); n > 0 {
		says += fmt.Sprintf("; %s can't be read, the first in %s: %v", terminal.Plural(n, "damaged place"),
			r.Damage[0].Object, r.Damage[0].Err)
	}
	return says
}

func archivedSighting(f *history.Found, name func(writeKey string) string) console.Sighting {
	s := console.Sighting{
		Sample: console.Sample{At: f.Time, Outcome: f.Outcome, Reason: f.Reason, Answer: f.Detail, Type: f.Type,
			Event: f.Name, User: f.User(), MessageID: f.MessageID, WriteKey: name(f.WriteKey), Age: console.Unknown,
			Receives: max(1, f.Receives)},
		Where: console.InArchive, Object: f.Object, Replay: f.Replay, Payload: f.Record.Event,
	}
	if !f.ReceivedAt.IsZero() {
		s.Age = max(0, f.Time.Sub(f.ReceivedAt))
	}
	return s
}

// findArchived searches the archive for a messageId and for a user.
func (l *Local) findArchived(ctx context.Context, w wanted) (found []console.Sighting, place console.Place) {
	to := time.Now()
	q := history.Query{MessageID: w.query, Limit: w.most, From: to.Add(-archivedFor), To: to.Add(time.Hour)}
	found, place = FindArchived(ctx, l.Archive, q, l.KeyName, nil)
	if place.Failed == "" {
		q.MessageID, q.User = "", w.query
		ofUser, searched := FindArchived(ctx, l.Archive, q, l.KeyName, nil)
		found, place = append(found, ofUser...), searched
	}
	return found, place
}
