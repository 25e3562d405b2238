package deliver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"time"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/breaker"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// NotArchived is under what events are counted that have ended, but whose messages are retained for
// retry, because neither the archive nor the bulk queue took their records.
const NotArchived = "not_archived"

// archiveTimeout bounds a call to the archive: an archive that hangs must not hold up delivery.
const archiveTimeout = 5 * time.Second

// firstArchivePause is how long the archive is not called after two failures in a row, or one call
// without an answer in time: until then the bulk queue gets the records. Each further failure
// doubles it, up to maxArchivePause.
const (
	firstArchivePause = 5 * time.Second
	maxArchivePause   = time.Minute
)

// maxRepeated bounds the bytes of batch contexts in the records of one invocation, since each
// event's record has that of its batch: a message may have 2,500 events of a few bytes and a
// context of 300 KB, which make 700 MB of records. Usual messages repeat a few hundred bytes.
const maxRepeated = 64 << 20

var errArchivePaused = errors.New("the archive has failed, and is not called for a while")

// newArchiveBreaker is an environment's circuit breaker for the archive.
func newArchiveBreaker() *breaker.Breaker {
	return breaker.New(breaker.Settings{Failures: 2, IgnoreLate: true,
		OpenFor: func(_ time.Time, openings int) time.Duration {
			wait := firstArchivePause << min(openings-1, 4)
			return time.Duration(float64(min(wait, maxArchivePause)) * (0.9 + 0.2*rand.Float64()))
		}})
}

// archiving has the records of what has ended in an invocation. It is not safe for concurrent use:
// the ledger's lock guards it.
type archiving struct {
	packer *archive.Packer // nil: nothing is archived
	ended  []ended
	frames []archive.Frame // of archive-only messages; their owners are indices of ended, as the packer's are

	repeated int // bytes of batch contexts in the records
	tooLarge int // events without a record, because it would exceed maxRepeated
}

// ended is a message that is done when its records are archived. Then nothing else of it is needed.
type ended struct {
	retained // as what it is retained if they can't be
	// What the report has counted of it; nothing of an archive-only message, whose events were
	// counted in another invocation.
	delivered int
	dead      map[string]int
	omitted   event.Omissions
}

// newArchiving returns the archiving of an invocation.
func (h *Handler) newArchiving() archiving {
	if h.config.Archive == nil {
		return archiving{}
	}
	if p, ok := h.packers.Get().(*archive.Packer); ok {
		return archiving{packer: p}
	}
	p, err := archive.NewPacker()
	if err != nil { // can't happen with constant options: New has made one
		panic(err)
	}
	return archiving{packer: p}
}

// add adds the records of a message that is done but for them.
func (a *archiving) add(m *delivery, now time.Time) {
	if a.packer == nil || m.canary {
		return
	}
	c := &m.content
	repeated := m.count() * (len(c.Context) + len(c.Integrations))
	if a.repeated+repeated > maxRepeated {
		a.tooLarge += m.count()
		return
	}
	a.repeated += repeated
	r := archive.Record{Time: now, WriteKey: c.WriteKey, Replay: m.replay, ReceivedAt: m.cameIn(), Origin: c.Origin,
		Receives: m.receives, Context: c.Context, Integrations: c.Integrations, Scanned: true}
	owner := len(a.ended)
	e := ended{retained: m.retained(newFailure(reasonNotArchived, nil)), omitted: m.omitted}
	r.Outcome = archive.Delivered
	for i, d := range m.dispositions {
		if d == Delivered {
			r.Event = m.events[i]
			a.packer.Add(&r, owner)
			e.delivered++
		}
	}
	r.Outcome = archive.DeadLettered
	for i := range m.deadLetters {
		l := &m.deadLetters[i]
		if e.dead == nil {
			e.dead = map[string]int{}
		}
		e.dead[l.Reason] += eventsOf(l)
		r.Reason, r.Detail = l.Reason, message.LegalDetail(l.Detail)
		events := l.Events
		if events == nil {
			events = m.wholeEvents()
		}
		for _, r.Event = range events {
			a.packer.Add(&r, owner)
		}
		if events == nil {
			r.Event, r.Scanned = l.Body, false
			a.packer.Add(&r, owner)
		}
	}
	a.ended = append(a.ended, e)
}

// wholeEvents are the events of a message that is a dead letter as a whole, with the identity that
// they would have been sent with; nil if it could not be read.
func (m *delivery) wholeEvents() (events [][]byte) {
	at := m.cameIn()
	if at.IsZero() {
		at = time.Now()
	}
	for i := range m.content.Events {
		e := &m.content.Events[i]
		raw := e.Raw
		if !e.Identified() {
			raw, _ = e.AppendIdentified(nil, message.EventID(m.id(), i), at)
		}
		events = append(events, raw)
	}
	return events
}

// carry takes over the frame of an archive-only message.
func (a *archiving) carry(m *delivery, records int) {
	a.frames = append(a.frames,
		archive.Frame{Data: m.content.ArchiveFrame, Records: records, Owners: []int{len(a.ended)}})
	r := m.retained(newFailure(reasonNotArchived, nil))
	r.events, r.archiveOnly = records, true
	a.ended = append(a.ended, ended{retained: r})
}

var errNotOneFrame = errors.New("it must be one frame as the archive has them, with whole records")

// recordsOf counts the records of an archive-only message's frame, all of which must be readable:
// who may send messages must not be able to damage the archive. It must be a single frame within
// the archive's bounds: what a message of 1 MiB can be decompressed to, 30 GB, takes longer to read
// than an invocation has, each time that it is received.
func recordsOf(frame []byte) (n int, err error) {
	r, err := archive.NewReader(bytes.NewReader(frame), 0)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	block, err := r.Next()
	switch {
	case errors.Is(err, io.EOF):
		return 0, errNotOneFrame
	case err != nil:
		return 0, err
	case block.Partial || block.Bytes != int64(len(frame)) || len(frame) > archive.MaxFrameBytes:
		return 0, errNotOneFrame
	}
	lines := 0
	for line := range block.Lines() {
		record, err := archive.ParseRecord(line)
		if err != nil {
			return 0, err
		}
		lines++
		if record.Part <= 1 { // the other parts belong to the same record
			n++
		}
	}
	if lines == 0 {
		return 0, errNotOneFrame
	}
	return n, nil
}

// archive is the last step before a message may be deleted: its records go to the archive, or to
// the bulk queue in an archive-only message. What neither takes retains its messages.
//
// An archive-only message that can't be archived is retained, and nothing is deferred in an
// invocation that has one. So no message is the grandchild of another one, however SQS and Lambda
// trace them: Lambda drops a message after about 16 hops.
func (l *ledger) archive(ctx context.Context) {
	if l.archiving.packer == nil {
		return
	}
	if n := l.archiving.tooLarge; n > 0 {
		l.report.NotArchived += n
		l.h.config.Logger.ErrorContext(ctx, "events have ended, but are not in the archive: with the context of their "+
			"batch in each record they are too large; send fewer events with it, or a smaller one", "events", n)
	}
	frames := append(l.archiving.packer.Frames(), l.archiving.frames...)
	l.h.packers.Put(l.archiving.packer)
	if len(frames) == 0 {
		return
	}
	carried := len(l.archiving.frames) > 0
	left, cause := l.put(ctx, frames)
	if len(left) > 0 && !carried {
		left, cause = l.deferFrames(ctx, left, cause)
	}
	if len(left) == 0 {
		return
	}
	l.h.config.Logger.ErrorContext(ctx, "events could not be archived; their messages are retained for retry",
		"frames", len(left), "error", cause)
	failed := map[int]bool{}
	for _, f := range left {
		for _, owner := range f.Owners {
			failed[owner] = true
		}
	}
	for owner := range failed {
		l.retainEnded(&l.archiving.ended[owner], cause)
	}
}

// put puts frames into the archive and returns those that it did not take, and why.
func (l *ledger) put(ctx context.Context, frames []archive.Frame) (left []archive.Frame, cause error) {
	ticket, ok := l.h.archiveBreaker.Allow(time.Now())
	if !ok {
		return frames, errArchivePaused
	}
	ctx, cancel := halfTheTime(ctx)
	defer cancel()
	ctx, cancelPut := context.WithTimeout(ctx, archiveTimeout)
	defer cancelPut()
	deadline, _ := ctx.Deadline()
	hadTime := time.Until(deadline) >= archiveTimeout/5
	err := l.h.config.Archive.Put(ctx, frames)
	unarchived := archive.Unarchived(len(frames), err)
	result := breaker.Success
	switch {
	case len(unarchived) < len(frames):
	case !errors.Is(err, context.DeadlineExceeded):
		result = breaker.Failure
	case hadTime:
		result = breaker.Hang
	default: // the end of the invocation cut it short
		result = breaker.Unknown
	}
	l.h.archiveBreaker.Report(time.Now(), ticket, result)
	next := 0 // in unarchived
	for i := range frames {
		if next < len(unarchived) && unarchived[next] == i {
			left = append(left, frames[i])
			next++
			continue
		}
		l.report.Archived += frames[i].Records
	}
	if len(left) > 0 {
		l.h.config.Logger.WarnContext(ctx, "the archive did not take all records", "frames", len(frames),
			"refused", len(left), "error", err)
	}
	return left, err
}

// deferFrames sends each frame to the bulk queue in an archive-only message, and returns those that
// it did not take.
func (l *ledger) deferFrames(ctx context.Context, frames []archive.Frame, cause error) (left []archive.Frame, _ error) {
	if l.h.config.BulkQueue == nil {
		return frames, cause
	}
	out := make([]message.Message, len(frames))
	for i := range frames {
		var err error
		if out[i], err = message.NewArchiveOnly(frames[i].Data, frames[i].Records); err != nil {
			return frames, errors.Join(cause, err) // can't happen: a frame is smaller than a message
		}
	}
	ctx, cancel := halfTheTime(ctx)
	defer cancel()
	err := l.h.config.BulkQueue.Send(ctx, out)
	failed := sqsclient.Failures(err, len(out))
	for i := range frames {
		if failed[i] != nil {
			left = append(left, frames[i])
			continue
		}
		l.report.ArchiveDeferred += frames[i].Records
	}
	return left, errors.Join(cause, err)
}

// retainEnded retains a message whose records could not be archived. Segment has its events
// already, and drops the repetition.
func (l *ledger) retainEnded(e *ended, cause error) {
	e.failure.cause = cause
	r := &l.report
	r.NotArchived += e.events
	r.Delivered -= e.delivered
	for reason, n := range e.dead {
		if r.DeadLettered[reason] -= n; r.DeadLettered[reason] == 0 {
			delete(r.DeadLettered, reason)
		}
	}
	for field, n := range e.omitted.ByField() {
		if r.Omitted[field] -= n; r.Omitted[field] == 0 {
			delete(r.Omitted, field)
		}
	}
	l.retained = append(l.retained, e.retained)
}
