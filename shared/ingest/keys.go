package ingest

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/event"
)

// A Key has the settings of a write key.
type Key struct {
	Name     string  // for people and for quotas; may be logged, which the write key itself never is
	Disabled bool    // requests with this key are refused
	Quota    float64 // events a second; 0: unlimited
	// Burst is how many events may come at once before the quota counts; 0: ten seconds of the
	// quota. A Burst needs a Quota.
	Burst float64
	ID    string // the write key's fingerprint (event.KeyID); NewKeys sets it
}

// KeySet is the set of accepted write keys. It must be safe for concurrent use, and the time of
// Lookup must not reveal how much of a key is right.
type KeySet interface {
	Lookup(writeKey string) (Key, bool)
	State() KeysState
}

// KeysState says how far a KeySet can be relied on.
type KeysState uint8

const (
	// KeysCurrent says that the set is what is configured.
	KeysCurrent KeysState = iota
	// KeysOld says that what is configured can't be read, and an earlier set is used. It may
	// accept a key that has been disabled since.
	KeysOld
	// KeysUnread says that what is configured has never been read, or a part of it. A key that
	// Lookup does not find may be a good one, so its requests are answered 429.
	KeysUnread
)

// Metrics returns the state as a CloudWatch metric; there is none while the set is current.
func (s KeysState) Metrics() []emf.Metric {
	name := map[KeysState]string{KeysOld: "WriteKeysOld", KeysUnread: "WriteKeysUnread"}[s]
	if name == "" {
		return nil
	}
	return []emf.Metric{{Name: name, Unit: emf.Count, Values: []float64{1}}}
}

// Keys is a KeySet that does not change. The zero value has no keys.
type Keys struct {
	salt     [32]byte
	byDigest map[[sha256.Size]byte]Key
}

// NewKeys returns the set of keys, given by write key. The error names every invalid key by its
// Name.
func NewKeys(keys map[string]Key) (*Keys, error) {
	k := &Keys{byDigest: make(map[[sha256.Size]byte]Key, len(keys))}
	rand.Read(k.salt[:]) // never fails (crypto/rand)
	names := make(map[string]bool, len(keys))
	var errs []error
	for writeKey, key := range keys {
		switch {
		case key.Name == "":
			errs = append(errs, errors.New("a write key has no name"))
		case names[key.Name]:
			errs = append(errs, fmt.Errorf("two write keys are named %q", key.Name))
		case !event.ValidWriteKey(writeKey):
			errs = append(errs, fmt.Errorf("the write key named %q must be %s", key.Name, event.WriteKeyRule))
		case !(key.Quota >= 0) || !(key.Burst >= 0) || math.IsInf(key.Quota, 0) || math.IsInf(key.Burst, 0):
			errs = append(errs, fmt.Errorf("quota and burst of the write key named %q must be finite and at least 0", key.Name))
		case key.Burst > 0 && key.Quota == 0:
			errs = append(errs, fmt.Errorf("the write key named %q has a burst but no quota", key.Name))
		}
		names[key.Name] = true
		key.ID = event.KeyID(writeKey)
		k.byDigest[k.digest(writeKey)] = key
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("invalid set of %d write keys: %w", len(keys), err)
	}
	return k, nil
}

// Lookup implements [KeySet]. The map compares salted digests, so the time that it takes says
// nothing about a key.
func (k *Keys) Lookup(writeKey string) (Key, bool) {
	key, ok := k.byDigest[k.digest(writeKey)]
	return key, ok
}

// List returns what is known of each key, in no order.
func (k *Keys) List() []Key { return slices.Collect(maps.Values(k.byDigest)) }

// Len returns the number of write keys.
func (k *Keys) Len() int { return len(k.byDigest) }

// State implements [KeySet].
func (k *Keys) State() KeysState { return KeysCurrent }

func (k *Keys) digest(writeKey string) [sha256.Size]byte {
	var buf [len(k.salt) + event.MaxWriteKeyBytes]byte
	n := copy(buf[:], k.salt[:])
	n += copy(buf[n:], writeKey)
	return sha256.Sum256(buf[:n])
}

// WithKey returns a KeySet with one more write key than set, for which it overrides set. While set
// is unread that key is not found either: the canary, whose key it is, must tell what happens to
// others.
func WithKey(set KeySet, writeKey string, key Key) (KeySet, error) {
	one, err := NewKeys(map[string]Key{writeKey: key})
	if err != nil {
		return nil, err
	}
	return withKey{one, set}, nil
}

type withKey struct {
	first *Keys
	rest  KeySet
}

// Lookup implements [KeySet].
func (w withKey) Lookup(writeKey string) (Key, bool) {
	if key, ok := w.first.Lookup(writeKey); ok {
		return key, w.rest.State() != KeysUnread
	}
	return w.rest.Lookup(writeKey)
}

// State implements [KeySet].
func (w withKey) State() KeysState { return w.rest.State() }
