// Package why tells the story of an event: when it was accepted, what Segment answered, and where it
// is now, out of a running `spillway up`, the dead letters and the archive.
package why

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/archived"
	"github.com/spillwayhq/spillway/cmd/spillway/console"
	"github.com/spillwayhq/spillway/cmd/spillway/console/contents"
	"github.com/spillwayhq/spillway/cmd/spillway/queues"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/history"
)

// A Query says what is looked for. Exactly one of MessageID and User is set.
type Query struct {
	MessageID, User string
	Since           time.Duration // how far back the archive is read
	Limit           int           // events of a user
	// Name returns what may be shown of a write key.
	Name func(writeKey string) string
}

func (q *Query) text() string { return cmp.Or(q.MessageID, q.User) }

// wants reports whether an event is looked for.
func (q *Query) wants(messageID, user, anonymous string) bool {
	if q.MessageID != "" {
		return messageID == q.MessageID
	}
	return user == q.User || anonymous == q.User
}

// Ask looks in all places. A place that can't be searched says so in the story. progress tells how
// far the archive is read; it may be nil.
func Ask(ctx context.Context, p *archived.Pipeline, q Query, progress func(history.Progress)) (console.Story, error) {
	var found []console.Sighting
	var looked []console.Place
	add := func(s []console.Sighting, places ...console.Place) {
		found, looked = append(found, s...), append(looked, places...)
	}
	if s, places, ok := askPage(ctx, p, &q); ok {
		add(s, places...)
	} else {
		add(nil, places...)
		add(findDead(ctx, p, &q))
	}
	add(findArchived(ctx, p, &q, progress))
	if ctx.Err() != nil {
		return console.Story{}, context.Cause(ctx)
	}
	return console.NewStory(q.text(), found, looked, q.Limit), nil
}

// maxPage bounds what a page answers, in bytes.
const maxPage = 64 << 20

// askPage asks the operator's page of a running `up`, which searches the queues without receiving
// from them. ok is false if there is none.
func askPage(ctx context.Context, p *archived.Pipeline, q *Query) (found []console.Sighting, looked []console.Place,
	ok bool) {
	waiting := console.Place{Name: contents.WaitingPlace, Says: contents.NotReceived}
	if !p.Local {
		return nil, []console.Place{waiting}, false
	}
	if waiting.Says = ""; p.PageURL == "" {
		waiting.Failed = "this `spillway up` serves no operator's page, which searches it: start it without --console=false"
		return nil, []console.Place{waiting}, false
	}
	story, err := readStory(ctx, p.PageURL, q)
	if err != nil {
		waiting.Failed = err.Error()
		return nil, []console.Place{waiting}, false
	}
	for i := range story.Events {
		for _, s := range story.Events[i].Steps {
			if s.Where != console.InArchive && q.wants(s.MessageID, s.User, "") {
				found = append(found, s)
			}
		}
	}
	// The archive is searched as far back as the query says.
	looked = slices.DeleteFunc(story.Looked, func(p console.Place) bool { return p.Name == contents.ArchivePlace })
	if len(looked) > 0 {
		looked[0].Left += story.More // the page does not say in which place
	}
	return found, looked, true
}

func readStory(ctx context.Context, page string, q *Query) (story console.Story, err error) {
	at, err := url.JoinPath(page, console.FindJSONPath)
	if err != nil {
		return story, err
	}
	err = queues.GetJSON(ctx, at+"?"+url.Values{"q": {q.text()}, "limit": {strconv.Itoa(q.Limit)}}.Encode(), maxPage,
		&story)
	if wrong := (*queues.AnswerError)(nil); errors.As(err, &wrong) {
		return story, fmt.Errorf("the operator's page at %s answers %s: is it a `spillway up` of this version?", page,
			wrong.Status)
	} else if err != nil {
		return story, fmt.Errorf("ask the operator's page: %w", err)
	}
	return story, nil
}

// findDead searches the dead letters by receiving all of them.
func findDead(ctx context.Context, p *archived.Pipeline, q *Query) (found []console.Sighting, place console.Place) {
	place.Name = "Dead-letter queue"
	r, err := deadletter.NewReader()
	if err != nil {
		place.Failed = err.Error()
		return nil, place
	}
	defer r.Close()
	read, unreadable := 0, 0
	_, err = deadletter.New(p.API, p.DeadLetterURL).Each(ctx, func(received []*deadletter.Received) error {
		for _, l := range received {
			read++
			m, err := r.Read(l)
			if err != nil {
				unreadable++
				continue
			}
			for i := range m.Events {
				e := &m.Events[i]
				id := string(l.EventID(e, i))
				if q.wants(id, string(e.User()), string(e.Anonymous())) {
					s := contents.DeadSighting(l, e, i)
					s.WriteKey, s.Payload = q.Name(m.WriteKey), bytes.Clone(e.Raw)
					found = append(found, s)
				}
			}
		}
		return nil
	})
	place.Says = "all of " + terminal.Plural(read, "dead letter")
	if unreadable > 0 {
		place.Says += fmt.Sprintf("; %s of them can't be read", terminal.Number(unreadable))
	}
	if err != nil {
		place.Failed = err.Error()
	}
	return found, place
}

// findArchived searches the archive.
func findArchived(ctx context.Context, p *archived.Pipeline, q *Query,
	progress func(history.Progress)) ([]console.Sighting, console.Place) {
	to := time.Now()
	query := history.Query{MessageID: q.MessageID, User: q.User, Limit: q.Limit, From: to.Add(-q.Since),
		To: to.Add(time.Hour)}
	return contents.FindArchived(ctx, contents.Archive{Store: p.Store, Delayed: !p.Local}, query, q.Name, progress)
}
