package console

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/dlq"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/shared/deadletter"
)

// The paths of the pages of dead letters.
const (
	deadPath    = "/dead-letters"
	deadOne     = deadPath + "/show"
	deadPayload = deadPath + "/payload"
	deadRedrive = deadPath + "/redrive"
	deadDrop    = deadPath + "/drop"
	deadExport  = deadPath + "/export"
	deadRead    = deadPath + "/read"
	deadStop    = deadPath + "/stop"
)

// deadPages are the pages of dead letters, and of the story of an event.
type deadPages struct{ *Console }

func (c deadPages) routes(mux *http.ServeMux) {
	mux.HandleFunc("GET "+findPath, c.serveFind)
	mux.HandleFunc("GET "+FindJSONPath, c.serveFindJSON)
	mux.HandleFunc("GET "+deadPath, c.serveDeadList)
	mux.HandleFunc("GET "+deadOne, c.serveDead)
	mux.HandleFunc("POST "+deadPayload, c.serveDeadPayload)
	mux.HandleFunc("GET "+deadRedrive, c.serveDeadConfirm)
	mux.HandleFunc("GET "+deadDrop, c.serveDeadConfirm)
	mux.HandleFunc("POST "+deadExport, c.serveDeadExport)
	c.action(mux, deadRedrive, c.startRedrive)
	c.action(mux, deadDrop, c.startDrop)
	c.action(mux, deadRead, c.readDead)
	c.action(mux, deadStop, c.stopDead)
}

// serveDeadList lists dead letters.
func (c deadPages) serveDeadList(w http.ResponseWriter, r *http.Request) {
	v := c.deadView(r, r.URL.Query())
	status := http.StatusOK
	if v.Error != "" {
		status = http.StatusBadRequest
	}
	if v.Reading.Running || v.Action != nil && v.Action.Running() {
		w.Header().Set("Refresh", "3") // without a script, too
	}
	c.render(w, r, status, "deadletters", "Dead letters", &v)
}

// deadLetterView is one dead letter.
type deadLetterView struct {
	deadView
	ID         string
	Shown      *DeadLetter
	Advice     advice
	Permanent  bool
	Payload    *dlq.Description // nil: not asked for
	PayloadErr string
}

// serveDead shows one dead letter without its events.
func (c deadPages) serveDead(w http.ResponseWriter, r *http.Request) {
	c.showDead(w, r, r.URL.Query().Get("id"), nil)
}

// serveDeadPayload shows one with them. It is a form's target, so that no link and no crawler of a
// browser opens personal data, and because a queue on AWS must be received for it.
func (c deadPages) serveDeadPayload(w http.ResponseWriter, r *http.Request) {
	if !c.isOurs(w, r) {
		return
	}
	c.showDead(w, r, r.PostForm.Get("id"), func(v *deadLetterView) {
		ctx, cancel := context.WithTimeout(r.Context(), c.payloadDeadline())
		defer cancel()
		var err error
		v.Payload, err = c.source.DeadLetters().Payload(ctx, v.ID)
		switch {
		case err != nil:
			v.PayloadErr = fmt.Sprintf("The payload can't be read: %v", err)
		case v.Payload == nil:
			v.PayloadErr = "The dead letter is not visible any more: it was sent again or deleted, or somebody reads it now. " +
				"Try again in a minute."
		}
	})
}

func (c deadPages) payloadDeadline() time.Duration {
	if c.about.Local {
		return c.patience()
	}
	return 3 * time.Minute
}

func (c deadPages) showDead(w http.ResponseWriter, r *http.Request, id string, more func(*deadLetterView)) {
	v := deadLetterView{deadView: c.deadView(r, url.Values{"id": {id}}), ID: id}
	ctx, cancel := context.WithTimeout(r.Context(), c.patience())
	defer cancel()
	found, err := c.source.DeadLetters().Show(ctx, id)
	switch {
	case errors.Is(err, ErrNotRead):
		c.fail(w, r, http.StatusNotFound, fmt.Errorf("%w: read them on the page of the dead letters", err))
		return
	case err != nil:
		c.fail(w, r, http.StatusServiceUnavailable, err)
		return
	case found == nil:
		c.fail(w, r, http.StatusNotFound,
			fmt.Errorf("no dead letter has the ID %q: it was sent again or deleted, or the address "+
				"is wrong", short(id)))
		return
	}
	v.Shown, v.Advice = found, adviceFor(found.Reason)
	v.Permanent = deadletter.IsPermanent(found.Reason, found.WriteKey != deadletter.UnreadableKey)
	if more != nil {
		more(&v)
	}
	c.render(w, r, http.StatusOK, "deadletter", "Dead letter "+short(id), &v)
}

// confirmView asks whether to redrive or to delete.
type confirmView struct {
	deadView
	Sent    int                // dead letters that a redrive would send
	Skipped []deadletter.Group // by reason
	Rate    int
	Forced  bool
	Until   string    // what was there then is deleted
	At      time.Time // the same
	Number  string    // to type
}

// serveDeadConfirm shows what an action would do, and its form.
func (c deadPages) serveDeadConfirm(w http.ResponseWriter, r *http.Request) {
	values := r.URL.Query()
	values.Del("before")
	v := confirmView{deadView: c.countedView(r, values), Rate: deadletter.DefaultRate, Forced: values.Get("force") != ""}
	switch {
	case v.Error != "":
		c.fail(w, r, http.StatusBadRequest, errors.New(v.Error))
		return
	case v.NotRead:
		c.fail(w, r, http.StatusConflict, fmt.Errorf("%w: read them first, to see what would be sent or deleted", ErrNotRead))
		return
	case v.Reading.Running && !v.Reading.OnRequest: // what is confirmed must be all that it is done to
		w.Header().Set("Refresh", "2")
		c.fail(w, r, http.StatusServiceUnavailable, fmt.Errorf("the dead letters are being counted, %s of %s so far: the "+
			"page is loaded again until all are", terminal.Number(v.Reading.Read), terminal.Number(v.Reading.Of)))
		return
	}
	until := v.Now
	if v.Reading.OnRequest {
		until = v.Reading.At
	}
	v.At, v.Until, v.Number = until, until.UTC().Format(time.RFC3339Nano), terminal.Number(v.List.Total)
	skipped := map[string]*deadletter.Group{}
	for _, g := range v.List.Groups {
		if len(v.Query.Reasons) > 0 || !deadletter.IsPermanent(g.Reason, g.WriteKey != deadletter.UnreadableKey) {
			v.Sent += g.DeadLetters
			continue
		}
		if s := skipped[g.Reason]; s != nil {
			s.Join(&g)
		} else {
			skipped[g.Reason] = &g
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(skipped)) {
		v.Skipped = append(v.Skipped, *skipped[reason])
	}
	page, title := "deadletters-redrive", "Redrive dead letters"
	if r.URL.Path == deadDrop {
		page, title = "deadletters-drop", "Drop dead letters"
	}
	c.render(w, r, http.StatusOK, page, title, &v)
}

// WithReason is the confirmation for those of a reason, which is then sent although it may fail
// again.
func (v *confirmView) WithReason(reason string) string {
	s := v.Query.Selection
	s.Reasons = []string{reason}
	return withQuery(deadRedrive, deadValues(s))
}
