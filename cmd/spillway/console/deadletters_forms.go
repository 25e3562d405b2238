package console

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/spillwayhq/spillway/shared/deadletter"
)

// errReading keeps two readers of a queue on AWS from hiding its messages from each other.
var errReading = errors.New("the dead letters are being read, which makes them invisible to a redrive and a drop: " +
	"wait for the end, or stop the reading")

// actedOn reads what a form selects. The error says why nothing can be done with it now.
func (c deadPages) actedOn(r *http.Request) (DeadLetterQuery, error) {
	q, err := parseDeadQuery(r.PostForm)
	if state := c.source.DeadLetters().Reading(); err == nil && state.OnRequest && state.Running {
		err = errReading
	}
	return q, err
}

// startRedrive starts to send dead letters again.
func (c deadPages) startRedrive(r *http.Request) (said, next string, err error) {
	q, err := c.actedOn(r)
	next = withQuery(deadPath, deadValues(q.Selection))
	if err != nil {
		return "", next, err
	}
	rate, err := strconv.ParseFloat(cmp.Or(r.PostForm.Get("rate"), strconv.Itoa(deadletter.DefaultRate)), 64)
	if err != nil {
		return "", next, fmt.Errorf("the rate must be a number of events per second, is %q", short(r.PostForm.Get("rate")))
	}
	of, _ := strconv.Atoi(r.PostForm.Get("of")) // for the progress only
	if err := c.dead.redrive(c.source.DeadLetters(), q.Selection, rate, r.PostForm.Get("force") != "",
		max(0, of)); err != nil {
		return "", next, fmt.Errorf("the redrive was not started: %w", err)
	}
	return "The redrive has begun. It goes on when you leave this page.", next, nil
}

// startDrop starts to delete dead letters, if somebody has typed how many.
func (c deadPages) startDrop(r *http.Request) (said, next string, err error) {
	q, err := c.actedOn(r)
	next = withQuery(deadPath, deadValues(q.Selection))
	if err != nil {
		return "", next, err
	}
	until, err := time.Parse(time.RFC3339Nano, r.PostForm.Get("until"))
	if err != nil {
		return "", next, errors.New("the form does not say until when dead letters are deleted: open it again. Nothing " +
			"was deleted")
	}
	count := r.PostForm.Get("count")
	if n := digits(count); n == "" || digits(r.PostForm.Get("typed")) != n {
		return "", withQuery(deadDrop, deadValues(q.Selection)),
			fmt.Errorf("type the number %s to confirm. Nothing was deleted",
				short(count))
	}
	of, _ := strconv.Atoi(r.PostForm.Get("events")) // for the progress only
	if err := c.dead.drop(c.source.DeadLetters(), q.Selection, until, max(0, of)); err != nil {
		return "", next, fmt.Errorf("nothing was deleted: %w", err)
	}
	return "The drop has begun. It goes on when you leave this page.", next, nil
}

// digits is a number without the commas and spaces that people write between its digits; empty: it
// is none.
func digits(text string) string {
	var b []byte
	for _, r := range text {
		switch {
		case r >= '0' && r <= '9':
			b = append(b, byte(r))
		case r != ',' && r != ' ' && r != '.' && r != '\u00a0':
			return ""
		}
	}
	return string(b)
}

// serveDeadExport answers with the dead letters as a file to save. One that ends early is cut off,
// so that a browser says that it failed.
func (c deadPages) serveDeadExport(w http.ResponseWriter, r *http.Request) {
	if !c.isOurs(w, r) {
		return
	}
	q, err := c.actedOn(r)
	if err != nil {
		c.fail(w, r, http.StatusBadRequest, err)
		return
	}
	const patience = 30 * time.Second // of a client that reads nothing
	control := http.NewResponseController(w)
	began := false
	begin := func() {
		if !began {
			began = true
			w.Header().Set("Content-Type", "application/x-ndjson")
			w.Header().Set("Content-Disposition", `attachment; filename="spillway-dead-letters-`+
				time.Now().UTC().Format("20060102T150405Z")+`.ndjson"`)
		}
	}
	err = c.dead.export(r.Context(), c.source.DeadLetters(), q.Selection, func(lines []byte) error {
		begin()
		_ = control.SetWriteDeadline(time.Now().Add(patience)) // a writer without deadlines is a test's
		_, err := w.Write(lines)
		return err
	})
	switch {
	case err == nil:
		begin()
	case began:
		panic(http.ErrAbortHandler)
	default:
		c.fail(w, r, http.StatusServiceUnavailable, err)
	}
}

// readDead begins to read a queue on AWS.
func (c deadPages) readDead(*http.Request) (said, next string, err error) {
	if a := c.dead.state(); a != nil && a.Running() {
		return "", deadPath, fmt.Errorf("%s runs: wait for its end before the dead letters are read again", anAction(a.Verb))
	}
	c.source.DeadLetters().Read()
	return "The dead letters are being read.", deadPath, nil
}

// stopDead stops what runs: a reading or an action.
func (c deadPages) stopDead(r *http.Request) (said, next string, err error) {
	if r.PostForm.Get("what") == "reading" {
		c.source.DeadLetters().StopReading()
		return "The reading is being stopped. What it has received is visible again in a moment.", deadPath, nil
	}
	c.dead.stopLast()
	return "It is being stopped, and finishes its calls to SQS first.", deadPath, nil
}
