package local

// busyDeletes is how many messages leave the queues in a minute that delivers a backlog. The canary's
// are one a minute.
const busyDeletes = 100

// An idle notices when a backlog has been delivered, or a burst. It is not safe for concurrent use.
type idle struct {
	deleted int64 // at the end of the last minute
	busy    bool  // that minute was
}

// begins reports at the end of a minute whether it was the first that was not busy. deleted is how
// many messages have left the queues so far.
func (i *idle) begins(deleted int64) bool {
	wasBusy := i.busy
	i.busy = deleted-i.deleted >= busyDeletes
	i.deleted = deleted
	return wasBusy && !i.busy
}
