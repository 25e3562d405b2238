package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/dlq"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/message"
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

func (c *Console) deadLetterRoutes(mux *http.ServeMux) {
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

// deadView is what the pages of dead letters have in common.
type deadView struct {
	Query   DeadLetterQuery
	Words   string // what is selected
	Error   string // why not what was asked for is shown
	Reading Reading
	NotRead bool // and never was
	Stale   bool // an action has changed the queue since it was read
	Action  *deadAction
	List    DeadLetterList
	Events  int    // of all that are selected
	Flags   string // that select the same on the command line
	Now     time.Time
}

// deadView reads what a page shows. A query that can't be understood selects nothing.
func (c *Console) deadView(r *http.Request, values url.Values) deadView {
	v := deadView{Reading: c.source.DeadLetters().Reading(), Action: c.dead.state(), Now: time.Now()}
	var err error
	if v.Query, err = parseDeadQuery(values); err == nil {
		ctx, cancel := context.WithTimeout(r.Context(), c.patience())
		defer cancel()
		v.List, err = c.source.DeadLetters().List(ctx, v.Query)
	}
	if err == nil && len(v.List.InQueue) > 0 {
		err = v.Query.CheckReasons(v.List.InQueue)
	}
	if v.NotRead = errors.Is(err, ErrNotRead); err != nil && !v.NotRead {
		v.Error = sentence(err.Error())
	}
	for _, g := range v.List.Groups {
		v.Events += g.Events
	}
	v.Reading = c.source.DeadLetters().Reading()
	v.Stale = v.Reading.OnRequest && v.Action != nil && v.Action.Ended.After(v.Reading.At) && !v.Reading.At.IsZero() &&
		v.Action.Verb != verbExport
	v.Words, v.Flags = inWords(v.Query.Selection), v.Query.Flags()
	return v
}

// Here is the address of this selection on another page of dead letters.
func (v *deadView) Here(path string) string { return withQuery(path, deadValues(v.Query.Selection)) }

// Forced is the page that sends what the last redrive did not, although Segment fails.
func (v *deadView) Forced() string {
	values := deadValues(v.Action.Selection)
	values.Set("force", "1")
	return withQuery(deadRedrive, values)
}

// Older is the next page.
func (v *deadView) Older() string {
	values := deadValues(v.Query.Selection)
	values.Set("before", strconv.FormatUint(v.List.Rows[len(v.List.Rows)-1].Place, 36))
	return withQuery(deadPath, values)
}

// With is the list of those of this selection that have a reason and write key.
func (v *deadView) With(g deadletter.Group) string {
	s := v.Query.Selection
	s.Reasons = []string{g.Reason}
	if g.WriteKey != deadletter.UnreadableKey {
		s.WriteKeys = []string{g.WriteKey}
	}
	return withQuery(deadPath, deadValues(s))
}

// maxGroups is how many reasons and write keys a page shows.
const maxGroups = 12

// Groups are the largest groups.
func (v *deadView) Groups() []deadletter.Group {
	return v.List.Groups[:min(maxGroups, len(v.List.Groups))]
}

// MoreGroups is how many are not shown.
func (v *deadView) MoreGroups() int { return len(v.List.Groups) - len(v.Groups()) }

// A sum is how many dead letters have a reason, or a write key, and the list of these.
type sum struct {
	Name        string
	DeadLetters int
	Path        string
}

// ReasonSums and KeySums are for a page that can't show all groups: the largest sums by reason and
// by write key; none if it can.
func (v *deadView) ReasonSums() []sum {
	return v.sums(func(g *deadletter.Group, s *dlq.Selection) string {
		s.Reasons = []string{g.Reason}
		return g.Reason
	})
}

// KeySums is described at ReasonSums.
func (v *deadView) KeySums() []sum {
	return v.sums(func(g *deadletter.Group, s *dlq.Selection) string {
		if g.WriteKey != deadletter.UnreadableKey {
			s.WriteKeys = []string{g.WriteKey}
		}
		return g.WriteKey
	})
}

// sums adds the groups up by what name returns, which narrows the selection to that.
func (v *deadView) sums(name func(*deadletter.Group, *dlq.Selection) string) []sum {
	if v.MoreGroups() == 0 {
		return nil
	}
	byName := map[string]*sum{}
	for i := range v.List.Groups {
		g, selection := &v.List.Groups[i], v.Query.Selection
		n := name(g, &selection)
		if byName[n] == nil {
			byName[n] = &sum{Name: n, Path: withQuery(deadPath, deadValues(selection))}
		}
		byName[n].DeadLetters += g.DeadLetters
	}
	var all []sum
	for _, s := range byName {
		all = append(all, *s)
	}
	slices.SortFunc(all, func(a, b sum) int {
		return cmp.Or(b.DeadLetters-a.DeadLetters, cmp.Compare(a.Name, b.Name))
	})
	return all[:min(len(all), maxGroups)]
}

// A choice is a value of a form's field.
type choice struct {
	Value  string
	Chosen bool
}

// Reasons are those that can be chosen: all that are in the queue, and those that are chosen.
func (v *deadView) Reasons() []choice {
	reasons := slices.Collect(maps.Keys(v.List.InQueue))
	for _, r := range v.Query.Reasons {
		if !slices.Contains(reasons, r) {
			reasons = append(reasons, r)
		}
	}
	if len(reasons) == 0 {
		reasons = message.Reasons()
	}
	slices.Sort(reasons)
	choices := make([]choice, 0, len(reasons))
	for _, r := range reasons[:min(len(reasons), maxValues)] {
		choices = append(choices, choice{r, slices.Contains(v.Query.Reasons, r)})
	}
	return choices
}

// KeyNames are those of the groups, to choose from.
func (v *deadView) KeyNames() []string {
	var names []string
	for _, g := range v.Groups() {
		if g.WriteKey != deadletter.UnreadableKey && !slices.Contains(names, g.WriteKey) {
			names = append(names, g.WriteKey)
		}
	}
	slices.Sort(names)
	return names
}

// Filtered reports whether the query selects less than all.
func (v *deadView) Filtered() bool { return len(deadValues(v.Query.Selection)) > 0 }

// Field is the value of a text field; further values of it are kept as Others has them.
func (v *deadView) Field(name string) string { return deadValues(v.Query.Selection).Get(name) }

// A hidden is a field that a form carries on.
type hidden struct{ Name, Value string }

// Others are the values of the text fields that a form has no place for.
func (v *deadView) Others() []hidden {
	var others []hidden
	for name, values := range deadValues(v.Query.Selection) {
		switch name {
		case "reason":
			continue
		case "id":
			others = append(others, hidden{name, values[0]})
		}
		for _, value := range values[1:] {
			others = append(others, hidden{name, value})
		}
	}
	return others
}

// Hidden are the fields of a form that acts on the selection.
func (v *deadView) Hidden() []hidden {
	var all []hidden
	values := deadValues(v.Query.Selection)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		for _, value := range values[name] {
			all = append(all, hidden{name, value})
		}
	}
	return all
}

// serveDeadList lists dead letters.
func (c *Console) serveDeadList(w http.ResponseWriter, r *http.Request) {
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
func (c *Console) serveDead(w http.ResponseWriter, r *http.Request) {
	c.showDead(w, r, r.URL.Query().Get("id"), nil)
}

// serveDeadPayload shows one with them. It is a form's target, so that no link and no crawler of a
// browser opens personal data, and because a queue on AWS must be received for it.
func (c *Console) serveDeadPayload(w http.ResponseWriter, r *http.Request) {
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

func (c *Console) payloadDeadline() time.Duration {
	if c.about.Local {
		return c.patience()
	}
	return 3 * time.Minute
}

func (c *Console) showDead(w http.ResponseWriter, r *http.Request, id string, more func(*deadLetterView)) {
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
func (c *Console) serveDeadConfirm(w http.ResponseWriter, r *http.Request) {
	values := r.URL.Query()
	values.Del("before")
	v := confirmView{deadView: c.deadView(r, values), Rate: deadletter.DefaultRate, Forced: values.Get("force") != ""}
	switch {
	case v.Error != "":
		c.fail(w, r, http.StatusBadRequest, errors.New(v.Error))
		return
	case v.NotRead:
		c.fail(w, r, http.StatusConflict, fmt.Errorf("%w: read them first, to see what would be sent or deleted", ErrNotRead))
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
	page, title := "deadletters-redrive", "Send dead letters again"
	if r.URL.Path == deadDrop {
		page, title = "deadletters-drop", "Delete dead letters"
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

// errReading keeps two readers of a queue on AWS from hiding its messages from each other.
var errReading = errors.New("the dead letters are being read, which hides them from a redrive and a deletion: " +
	"wait for the " +
	"end, or stop the reading")

// startRedrive starts to send dead letters again.
func (c *Console) startRedrive(r *http.Request) (said, next string, err error) {
	q, err := parseDeadQuery(r.PostForm)
	next = withQuery(deadPath, deadValues(q.Selection))
	if err != nil {
		return "", next, err
	}
	state := c.source.DeadLetters().Reading()
	if state.OnRequest && state.Running {
		return "", next, errReading
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
func (c *Console) startDrop(r *http.Request) (said, next string, err error) {
	q, err := parseDeadQuery(r.PostForm)
	next = withQuery(deadPath, deadValues(q.Selection))
	if err != nil {
		return "", next, err
	}
	state := c.source.DeadLetters().Reading()
	if state.OnRequest && state.Running {
		return "", next, errReading
	}
	until, err := time.Parse(time.RFC3339Nano, r.PostForm.Get("until"))
	if err != nil {
		return "", next, errors.New("the form does not say until when dead letters are deleted: open it again. Nothing " +
			"was deleted")
	}
	count := r.PostForm.Get("count")
	if count == "" || digits(r.PostForm.Get("typed")) != digits(count) {
		return "", withQuery(deadDrop, deadValues(q.Selection)),
			fmt.Errorf("type the number %s to confirm. Nothing was deleted",
				short(count))
	}
	of, _ := strconv.Atoi(r.PostForm.Get("events")) // for the progress only
	if err := c.dead.drop(c.source.DeadLetters(), q.Selection, until, max(0, of)); err != nil {
		return "", next, fmt.Errorf("nothing was deleted: %w", err)
	}
	return "The deletion has begun. It goes on when you leave this page.", next, nil
}

// digits is a number without the commas and spaces that people write between its digits.
func digits(text string) string {
	var b []byte
	for _, r := range text {
		switch {
		case r >= '0' && r <= '9':
			b = append(b, byte(r))
		case r != ',' && r != ' ' && r != '.' && r != '\u00a0':
			return "no number"
		}
	}
	return string(b)
}

// serveDeadExport answers with the dead letters as a file to save. One that ends early is cut off,
// so that a browser says that it failed.
func (c *Console) serveDeadExport(w http.ResponseWriter, r *http.Request) {
	if !c.isOurs(w, r) {
		return
	}
	q, err := parseDeadQuery(r.PostForm)
	if err == nil {
		if state := c.source.DeadLetters().Reading(); state.OnRequest && state.Running {
			err = errReading
		}
	}
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
func (c *Console) readDead(*http.Request) (said, next string, err error) {
	if a := c.dead.state(); a != nil && a.Running() {
		return "", deadPath, fmt.Errorf("%s runs: wait for its end before the dead letters are read again", anAction(a.Verb))
	}
	c.source.DeadLetters().Read()
	return "The dead letters are being read.", deadPath, nil
}

// stopDead stops what runs: a reading or an action.
func (c *Console) stopDead(r *http.Request) (said, next string, err error) {
	if r.PostForm.Get("what") == "reading" {
		c.source.DeadLetters().StopReading()
		return "The reading is being stopped. What it has received is visible again in a moment.", deadPath, nil
	}
	c.dead.stopLast()
	return "It is being stopped, and finishes its calls to SQS first.", deadPath, nil
}
