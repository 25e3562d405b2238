package sqs

import (
	"bytes"

	"github.com/cockroachdb/pebble/v2"
)

// keyspace reads and writes the keys of one queue's messages (see the package comment for their
// format). It has no lock of its own: its callers hold the backlog's where they need it.
type keyspace struct {
	store *store
	id    uint32 // of the queue
}

func (k keyspace) iterate(low, high []byte) (*pebble.Iterator, error) {
	return k.store.db.NewIter(&pebble.IterOptions{LowerBound: low, UpperBound: high})
}

// set adds a message to b.
func (k keyspace) set(b *pebble.Batch, e *entry) error {
	if err := b.Set(messageKey(k.id, e.sent, e.place.seq), e.encode(), nil); err != nil {
		return err
	}
	if err := b.Set(visibleKey(k.id, e.place), e.tally.encode(), nil); err != nil {
		return err
	}
	if e.tally.count > 0 {
		return b.Set(returnedKey(k.id, e.place.seq), encodeReturned(e.place.at, e.tally.count), nil)
	}
	return nil
}

// delete adds the deletion of a message to b. returned says that the message has an s key.
func (k keyspace) delete(b *pebble.Batch, p place, returned bool) error {
	if err := b.Delete(messageKey(k.id, p.sent, p.seq), nil); err != nil {
		return err
	}
	if returned {
		if err := b.Delete(returnedKey(k.id, p.seq), nil); err != nil {
			return err
		}
	}
	return b.Delete(visibleKey(k.id, p), nil)
}

// deleteAll adds the deletion of every message to b.
func (k keyspace) deleteAll(b *pebble.Batch) error {
	for _, kind := range [...]byte{kindMessage, kindVisible, kindReturned} {
		low, high := keyRange(kind, k.id)
		if err := b.DeleteRange(low, high, nil); err != nil {
			return err
		}
	}
	return nil
}

// putBack adds to b that a message in flight is visible from at on, with its receive count.
func (k keyspace) putBack(b *pebble.Batch, f *flight, at int64) error {
	p := place{at: at, sent: f.place.sent, seq: f.place.seq}
	if p != f.place {
		if err := b.Delete(visibleKey(k.id, f.place), nil); err != nil {
			return err
		}
	}
	if err := b.Set(visibleKey(k.id, p), f.tally.encode(), nil); err != nil {
		return err
	}
	return b.Set(returnedKey(k.id, p.seq), encodeReturned(at, f.tally.count), nil)
}

// read returns the messages of flights, and the flights whose message was deleted meanwhile. One
// iterator reads them all, because messages that are taken together are mostly in one block.
func (k keyspace) read(fs []*flight) (got []received, deleted []*flight, err error) {
	low, high := keyRange(kindMessage, k.id)
	it, err := k.iterate(low, high)
	if err != nil {
		return nil, nil, err
	}
	defer it.Close()
	got = make([]received, 0, len(fs))
	for _, f := range fs {
		key := messageKey(k.id, f.place.sent, f.place.seq)
		// Mostly it is the next key.
		if !(it.Valid() && it.Next() && bytes.Equal(it.Key(), key)) &&
			!(it.SeekGE(key) && bytes.Equal(it.Key(), key)) {
			if err := it.Error(); err != nil {
				return nil, nil, err
			}
			deleted = append(deleted, f)
			continue
		}
		v, err := it.ValueAndErr()
		if err != nil {
			return nil, nil, err
		}
		m, err := decodeStoredMessage(v)
		if err != nil {
			return nil, nil, err
		}
		f.size.Store(int64(len(v)))
		got = append(got, received{f, m})
	}
	return got, deleted, nil
}

type found struct{ ok, returned bool }

// find looks for the message of a handle that memory does not have.
func (k keyspace) find(h handle) (place, tally, found, error) {
	p := h.place
	v, err := k.store.get(returnedKey(k.id, p.seq))
	if err != nil {
		return p, tally{}, found{}, err
	}
	returned := v != nil
	if returned {
		at, _, ok := parseReturned(v)
		if !ok {
			return p, tally{}, found{}, errCorrupt
		}
		p.at = at
	}
	v, err = k.store.get(visibleKey(k.id, p))
	if err != nil || v == nil {
		return p, tally{}, found{}, err
	}
	t, ok := parseTally(v)
	if !ok {
		return p, tally{}, found{}, errCorrupt
	}
	return p, t, found{true, returned}, nil
}

// placeOf returns the place of the v key of a message that is not in flight; value is that of its
// m key.
func (k keyspace) placeOf(sent int64, seq uint64, value []byte) (place, error) {
	p := place{sent: sent, seq: seq}
	v, err := k.store.get(returnedKey(k.id, seq))
	if err != nil {
		return p, err
	}
	if v != nil {
		at, _, ok := parseReturned(v)
		if !ok {
			return p, errCorrupt
		}
		p.at = at
		return p, nil
	}
	m, err := decodeStoredMessage(value)
	p.at = m.visibleAt
	return p, err
}

// each calls f for every message in the order of places.
func (k keyspace) each(f func(place, tally)) error {
	low, high := keyRange(kindVisible, k.id)
	it, err := k.iterate(low, high)
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		p, ok := parseVisibleKey(it.Key())
		if !ok {
			return errCorrupt
		}
		t, ok := parseTally(it.Value())
		if !ok {
			return errCorrupt
		}
		f(p, t)
	}
	return it.Error()
}

// oldest returns the message that was sent first, of those from hint on.
func (k keyspace) oldest(hint oldestHint) (oldestHint, bool) {
	_, high := keyRange(kindMessage, k.id)
	it, err := k.iterate(messageKey(k.id, hint.sent, hint.seq), high)
	if err != nil {
		return oldestHint{}, false
	}
	defer it.Close()
	if !it.First() {
		return oldestHint{}, false
	}
	sent, seq, ok := parseMessageKey(it.Key())
	return oldestHint{sent, seq}, ok
}
