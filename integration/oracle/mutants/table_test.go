package mutants

// table has the bugs. Keep find short, so that a change beside it does not break the row.
var table = []mutant{
	// Durability
	{
		name: "the disk's data are not synced", file: "shared/spill/write.go",
		find: `err = s.file.Sync(); err != nil`, replace: `err = error(nil); err != nil`,
	},
	{
		name: "the disk's directory is not synced", file: "shared/spill/write.go",
		find: `err = w.opts.FS.SyncDir(w.opts.Dir)`, replace: `err = nil`,
	},
	{
		name: "SQS emulator: a message is acknowledged before it is synced", file: "infra/local/sqs/add.go",
		find: `return q.add(es, true)`, replace: `return q.add(es, false)`,
	},
	{
		name: "SQS emulator: its log's data are not synced", file: "infra/local/sqs/store/log.go",
		find: "err := s.file.Sync()", replace: "err := error(nil)",
	},
	{
		name: "publisher: a record is done before SQS has its events", file: "shared/publisher/replay.go",
		find:    `k.waiting.records = append(k.waiting.records, r)`,
		replace: `k.waiting.records = append(k.waiting.records, r); u.disk.Done(r)`,
	},
	{
		name: "publisher: an event that a full disk refused is accepted", file: "shared/publisher/disk.go",
		find: "\t\treturn ErrFull", replace: "\t\treturn nil",
		outside: "no disk of its is full",
	},
	{
		name: "publisher: a call without an answer counts as delivered", file: "shared/publisher/send.go",
		find: "\t\tif err == nil {\n\t\t\ttaken[i]", replace: "\t\tif err == nil || mayBeTaken(err) {\n\t\t\ttaken[i]",
	},
	{
		name: "publisher: what can't be written to disk is forgotten", file: "shared/publisher/disk.go",
		find: "err != nil {\n\t\t\tleft = append(left, o)", replace: "err != nil {",
		outside: "no disk of its fails",
	},

	// Limits
	{
		name: "a batch of 2,501 events", file: "shared/deliver/packer.go",
		find: `> maxPart(pt.m) ||`, replace: `> maxPart(pt.m)+1 ||`,
	},
	{
		name: "a request with one byte too many", file: "shared/event/batch.go",
		find: `room := min(MaxBatchBytes, MaxBodyBytes-overhead)`, replace: `room := min(MaxBatchBytes, MaxBodyBytes-overhead+2)`,
	},
	{
		name: "a batch over its room", file: "shared/deliver/packer.go",
		find: `b.size+pt.size > b.room ||`, replace: `b.size > b.room ||`,
	},
	{
		name: "a part of a large message with 2,501 events", file: "shared/deliver/packer.go",
		find: `i-from == maxPart(m)`, replace: `i-from > maxPart(m)`,
	},
	{
		name: "a message of 2,501 events", file: "shared/message/packer.go",
		find: `len(p.events) < event.MaxBatchEvents &&`, replace: `len(p.events) <= event.MaxBatchEvents &&`,
		outside: "deliver splits such a message",
	},
	{
		name: "a call to SQS with more than 1 MiB", file: "shared/sqsclient/queue.go",
		find: `size+n > message.MaxBytes {`, replace: `size > message.MaxBytes {`,
	},

	// Contexts that are mixed up
	{
		name: "events with another message's integrations of equal length", file: "shared/message/content.go",
		find: `string(h.Integrations) == k.Integrations`, replace: `len(h.Integrations) == len(k.Integrations)`,
	},
	{
		name: "events with another message's context of equal length", file: "shared/message/content.go",
		find: `string(h.Context) == k.Context`, replace: `len(h.Context) == len(k.Context)`,
	},
	{
		name: "a browser's events among a server's", file: "shared/message/content.go",
		find: `h.Origin == k.Origin &&`, replace: ``,
	},
	{
		name: "the context of the message before", file: "shared/message/content.go",
		find: `*m = Content{Events: m.Events[:0], raw: m.raw[:0]}`, replace: `m.Events, m.raw = m.Events[:0], m.raw[:0]`,
	},
	{
		name: "ingest: requests with other integrations share a message", file: "shared/ingest/packing.go",
		find: `key := pt.header.Key()`, replace: "key := pt.header.Key()\n\t\t\tkey.Integrations = \"\"",
	},
	{
		name: "publisher: Raw events get the client's context", file: "shared/publisher/pack.go",
		find: `if it.raw != group.raw || it.pub`, replace: `if group.raw || it.pub`,
	},
	{
		name: "dead letters lose their integrations", file: "shared/message/encode.go",
		find: `if len(h.Integrations) > 0 {`, replace: `if h.WriteKey == "" && len(h.Integrations) > 0 {`,
	},

	// Forgotten events
	{
		name: "the events set aside after too many refused are forgotten", file: "shared/deliver/bisect.go",
		find: `x.left = append(x.left, span{i, i + 1})`, replace: `_ = i`,
	},
	{
		name: "the middle event of a bisected span is not sent", file: "shared/deliver/bisect.go",
		find:    "x.send(span{events.from, middle})\n\tx.send(span{middle, events.to})",
		replace: "x.send(span{events.from, middle})\n\tx.send(span{min(middle+1, events.to-1), events.to})",
	},
	{
		name: "a deadline within a send reports delivery", file: "shared/deliver/sending.go",
		find: "\t\t\treturn newFailure(reasonNoTime, nil)", replace: "\t\t\treturn nil",
	},
	{
		name: "a batch that found no place in time counts as delivered", file: "shared/deliver/sending.go",
		find: `s.ledger.settle(b, span{0, len(b.Events)}, f)`, replace: `s.ledger.settle(b, span{0, len(b.Events)}, nil)`,
	},
	{
		name: "a paused write key's events count as delivered", file: "shared/deliver/sending.go",
		find: `s.h.keys.paused(b.WriteKey, time.Now()); f != nil {
		return f`, replace: `s.h.keys.paused(b.WriteKey, time.Now()); f != nil {
		return nil`,
	},
	{
		name: "the second part of a large message is settled as the first", file: "shared/deliver/ledger.go",
		find: `pt.m.settle(pt.from+i-first,`, replace: `pt.m.settle(i-first,`,
	},
	{
		name: "half an answer counts as delivered", file: "shared/segment/client.go",
		find: "if err != nil {\n\t\t// Half an answer", replace: "if resp.ContentLength > 1<<40 {\n\t\t// Half an answer",
	},
	{
		name: "an entry that SQS's answer does not name counts as sent", file: "shared/sqsclient/queue.go",
		find: `failed[i] = errors.New("SQS's answer does not name it")`, replace: `_ = errors.New("")`,
	},
	{
		name: "ingest: the last message of a request may fail unseen", file: "shared/ingest/commit.go",
		find: `n <= m.parts[i].last`, replace: `n < m.parts[i].last`,
	},

	// Wrong units
	{
		name: "Retry-After in milliseconds", file: "shared/segment/client.go",
		find: `min(seconds, most) * float64(time.Second)`, replace: `min(seconds, most) * float64(time.Millisecond)`,
	},
	{
		name: "Retry-After in minutes", file: "shared/segment/client.go",
		find: `min(seconds, most) * float64(time.Second)`, replace: `min(seconds, most) * float64(time.Minute)`,
	},
	{
		name: "a Retry-After date counts backwards", file: "shared/segment/client.go",
		find: `max(0, at.Sub(now))`, replace: `max(0, now.Sub(at))`,
	},
	{
		name: "messages expire after ten hours", file: "shared/deliver/deliver.go",
		find: `MaxAge = 10 * 24 * time.Hour`, replace: `MaxAge = 10 * time.Hour`,
		outside: "its events are aged by MaxAge itself",
	},
	{
		name: "a visibility timeout in milliseconds", file: "shared/sqsclient/queue.go",
		find: `+ time.Second - 1) / time.Second)`, replace: `+ time.Second - 1) / time.Millisecond)`,
	},

	// Identity and time
	{
		name: "an event that was redriven gets the time of the redrive", file: "shared/deliver/delivery.go",
		find: `return m.firstSeen`, replace: `return m.sent`,
	},
	{
		name: "an event that was redriven gets another messageId", file: "shared/deliver/record.go",
		find: `cmp.Or(rec.redriven, rec.messageID)`, replace: `cmp.Or(rec.messageID, rec.redriven)`,
	},
	{
		name: "a redrive says when the dead letter was last tried", file: "shared/deadletter/redrive.go",
		find: `l.FirstSeen.UTC()`, replace: `l.LastSeen.UTC()`,
	},
	{
		name: "an event gets the time of its delivery", file: "shared/deliver/delivery.go",
		find: `at := m.cameIn()`, replace: `at := time.Now()`,
	},
	{
		name: "messageIds are counted without the invalid events", file: "shared/deliver/delivery.go",
		find: `message.EventID(id, i)`, replace: `message.EventID(id, len(m.events))`,
	},

	// Reasons
	{
		name: "429 is a rejection", file: "shared/segment/class.go",
		find: `{429, 429, Throttled},`, replace: `{429, 429, Rejected},`,
	},
	{
		name: "a redirect is a delivery", file: "shared/segment/class.go",
		find: `{200, 299, Delivered},`, replace: `{200, 399, Delivered},`,
	},
	{
		name: "a message expires although an event of it was not tried", file: "shared/deliver/ledger.go",
		find: `m.failure.reason != reasonNoTime && tooOld`, replace: `tooOld`,
		outside: "an old event may be a dead letter",
	},
	{
		name: "a rejected event is a dead letter for its age", file: "shared/deliver/deadletter.go",
		find: `message.ReasonRejected, f.text())`, replace: `message.ReasonExpired, f.text())`,
	},

	// Dead letters that get lost
	{
		name: "a dead letter that was not written counts as written", file: "shared/deliver/ledger.go",
		find: `owners[i].failure = newFailure(reasonNotWritten, err)`, replace: `_, _ = owners[i], err`,
	},
	{
		name: "only the first dead letter of a message is written", file: "shared/deliver/ledger.go",
		find:    "for i := range m.deadLetters {\n\t\t\tfor _, written",
		replace: "for i := range m.deadLetters[:1] {\n\t\t\tfor _, written",
	},
	{
		name: "ingest: a request is accepted without its dead letters", file: "shared/ingest/handler.go",
		find: `return refusalDeadLetters`, replace: `_ = refusalDeadLetters`,
	},
	{
		name: "a redrive deletes what it could not send", file: "shared/deadletter/redrive.go",
		find: `if failed[i] == nil {`, replace: `if failed[i] == nil || err != nil {`,
	},

	// The archive
	{
		name: "what the archive did not take counts as archived", file: "shared/deliver/archive.go",
		find: `left = append(left, frames[i])
			next++`, replace: `next++`,
	},
	{
		name: "what the bulk queue did not take counts as sent", file: "shared/deliver/archive.go",
		find: `left = append(left, frames[i])
			continue`, replace: `continue`,
	},
	{
		name: "an archive that fails as a whole has taken all", file: "shared/archive/store.go",
		find: "\tall := make([]int, n)", replace: "\tall := make([]int, 0)",
	},
	{
		name: "an archive-only message is done whatever the archive says", file: "shared/deliver/archive.go",
		find:    `l.retained = append(l.retained, e.retained)`,
		replace: `if !e.archiveOnly { l.retained = append(l.retained, e.retained) }`,
	},
	{
		name: "an archive-only message that can't be archived is sent again", file: "shared/deliver/archive.go",
		find: `len(left) > 0 && !carried {`, replace: `len(left) > 0 && (carried || !carried) {`,
		outside: "no event is lost: only the hops grow",
	},
	{
		name: "only the first message of a frame that failed is retained", file: "shared/deliver/archive.go",
		find: `range f.Owners {`, replace: `range f.Owners[:1] {`,
	},
	{
		name: "a message with dead letters is not archived", file: "shared/deliver/ledger.go",
		find: "l.deliver(m, m.count()-dead)\n\t\tl.archiving.add(m, time.Now())", replace: "l.deliver(m, m.count()-dead)",
	},
	{
		name: "a message without dead letters is not archived", file: "shared/deliver/ledger.go",
		find: "l.deliver(m, m.count())\n\t\tl.archiving.add(m, time.Now())", replace: "l.deliver(m, m.count())",
	},
	{
		name: "what the bulk queue did not take of ingest's dead letters is not counted",
		file: "shared/app/ingest/archive.go",
		find: `events += frames[i].Records`, replace: `_ = frames[i].Records`,
	},
	{
		name: "ingest archives only the first event of a dead letter", file: "shared/app/ingest/archive.go",
		find: `range l.Events {
			a.packer`, replace: `range l.Events[:1] {
			a.packer`,
	},
	{
		name: "rejected events are archived as delivered too", file: "shared/deliver/archive.go",
		find: `if d == Delivered {`, replace: `if d != Retried {`,
	},
	{
		name: "events are archived as they came and not as Segment got them", file: "shared/deliver/archive.go",
		find: `r.Event = m.events[i]`, replace: `r.Event = m.content.Events[m.index[i]].Raw`,
	},
	{
		name: "the archive lacks the integrations of the batch", file: "shared/deliver/archive.go",
		find: `Integrations: c.Integrations, Scanned`, replace: `Scanned`,
	},
	{
		name: "the archive lacks the context of the batch", file: "shared/deliver/archive.go",
		find: `Context: c.Context, `, replace: ``,
	},
	{
		name: "the archive has the write key of the configuration", file: "shared/deliver/archive.go",
		find: `WriteKey: c.WriteKey, Replay`, replace: `WriteKey: m.ownKey, Replay`,
	},
	{
		name: "a browser's event is archived as a server's", file: "shared/deliver/archive.go",
		find: ` Origin: c.Origin,`, replace: ``,
	},
	{
		name: "an event that is not archived counts as delivered all the same", file: "shared/deliver/archive.go",
		find: `r.Delivered -= e.delivered`, replace: `_ = e.delivered`,
	},
	{
		name: "the line that is too much for a frame is forgotten", file: "shared/archive/packer.go",
		find: `p.lines = p.lines[:copy(p.lines, p.lines[start:])]`, replace: `p.lines = p.lines[:0]`,
	},

	// Counts
	{
		name: "dead letters count as delivered too", file: "shared/deliver/ledger.go",
		find: `l.deliver(m, m.count()-dead)`, replace: `l.deliver(m, m.count())`,
	},
	{
		name: "publisher: a message of many events counts as one", file: "shared/publisher/settle.go",
		find: `s.counts.published.Add(int64(o.events))`, replace: `s.counts.published.Add(1)`,
	},
	{
		name: "ingest: a refused request is taken from the quota", file: "shared/ingest/handler.go",
		find: `h.quotas.refund(key, n)`, replace: `_ = n`,
		outside: "its write keys have no quota",
	},

	// The emulators
	{
		name: "SQS emulator: an old receipt handle deletes the message", file: "infra/local/sqs/remove.go",
		find: `if !f.receivedBy(h) {`, replace: `if f == nil {`,
		outside: "no event is lost: whoever had the handle was done with the message",
	},
}
