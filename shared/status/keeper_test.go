package status_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/status"
)

func TestTwoWritersAtTheSameMomentLoseNothingOfEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		store.fail = func(do, _ string) error { // so that both have read before one writes
			if do == "read" {
				time.Sleep(time.Millisecond)
			}
			return nil
		}
		var writers sync.WaitGroup
		for w := range 4 {
			writers.Go(func() {
				name := fmt.Sprintf("writer-%d", w)
				k := &status.Keeper{Store: store}
				o := look(time.Time{}, status.Up, status.Up, 0)
				o.Writer, o.Regions[0].Name = name, name
				if _, err := k.Observe(t.Context(), o); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		writers.Wait()
		d, err := (&status.Keeper{Store: store}).Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(d.Writers) != 4 || len(d.Components) != 8 {
			t.Errorf("the document has %d writers and %d components, want 4 and 8", len(d.Writers), len(d.Components))
		}
	})
}

func TestAStoreThatRefusesTheWriteIsAnErrorAndTheNextObservationGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		k := &status.Keeper{Store: store}
		down := errors.New("503 SlowDown")
		store.fail = func(do, _ string) error {
			if do == "write" {
				return down
			}
			return nil
		}
		if _, err := k.Observe(t.Context(), look(time.Time{}, status.Up, status.Up, 0)); !errors.Is(err, down) {
			t.Errorf("the error is %v", err)
		}
		store.fail = nil
		time.Sleep(time.Minute)
		if _, err := k.Observe(t.Context(), look(time.Time{}, status.Up, status.Up, 0)); err != nil {
			t.Error(err)
		}
	})
}
