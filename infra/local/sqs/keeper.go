package sqs

import (
	"context"
	"time"
)

// keepEvery is within what time deletes and visibility changes are on disk, and how often the space
// of deleted messages is reclaimed.
const keepEvery = time.Second

// keeper does what nobody waits for until ctx ends. Close does the rest.
func (s *Server) keeper(ctx context.Context) {
	wait := time.NewTimer(keepEvery)
	defer wait.Stop()
	failing := false
	for {
		if !failing {
			select {
			case <-ctx.Done():
				return
			case <-s.store.Work():
			}
		}
		wait.Reset(keepEvery)
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		}
		err := s.store.Flush()
		if err == nil {
			err = s.store.Reclaim(s.disk.full.Load())
		}
		if err != nil && !failing {
			s.log.WarnContext(ctx, "the queues' store can't write what deletes and visibility changes changed, or can't make "+
				"space; retrying",
				"error", err)
		}
		failing = err != nil || s.store.Late() != nil
	}
}

// room returns nil, or the error of a send that can't be accepted: the disk is full, or the store has
// failed.
func (s *Server) room() error {
	if err := s.store.Failure(); err != nil {
		return storeError(err)
	}
	err := s.disk.room()
	if err != nil {
		s.store.Wake() // to make space
	}
	return err
}

// Health is the state of the store.
type Health struct {
	// Failure says why sends are refused; nil: they are not.
	Failure error
	// Unsaved says why deletes are not on disk, so that a restart delivers messages again; nil: they are.
	Unsaved error
	// Lost is how many messages were lost by damage on disk, found at Open and since.
	Lost int64
	// Damages is how many places of the store were damaged.
	Damages int
}

// Health returns the current state.
func (s *Server) Health() Health {
	d := s.store.Damage()
	return Health{Failure: s.room(), Unsaved: s.store.Late(), Lost: d.Messages, Damages: len(d.Files) + d.More}
}

// reportDamage logs what Open could not read.
func (s *Server) reportDamage() {
	d := s.store.Damage()
	if d.None() {
		return
	}
	for _, f := range d.Files {
		s.log.Error("the queues' store is damaged: check the disk", "damage", f.String())
	}
	s.log.Error("the queues' store is damaged; what is readable is delivered", "lost_messages", d.Messages,
		"damages", len(d.Files)+d.More, "of_unknown_size", d.Uncounted)
}
