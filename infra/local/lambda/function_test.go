package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// handler is a lambda.Handler of a function.
type handler func(ctx context.Context, payload []byte) ([]byte, error)

func (h handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) { return h(ctx, payload) }

// same makes environments that all run h.
func same(h handler) EnvironmentFactory {
	return InProcess(func() (Handler, error) { return h, nil })
}

// inBubble runs a test in virtual time with a function that is closed at its end.
func inBubble(t *testing.T, config func() FunctionConfig, test func(t *testing.T, f *Function)) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFunction(config())
		defer f.Close()
		test(t, f)
	})
}

func TestAHandlerGetsItsPayloadDeadlineAndRequestID(t *testing.T) {
	inBubble(t, func() FunctionConfig {
		return FunctionConfig{Name: "deliver", Region: "eu-west-1", Timeout: time.Minute,
			NewEnvironment: same(func(ctx context.Context, payload []byte) ([]byte, error) {
				lc, ok := lambdacontext.FromContext(ctx)
				deadline, _ := ctx.Deadline()
				if !ok || len(lc.AwsRequestID) != 36 ||
					lc.InvokedFunctionArn != "arn:aws:lambda:eu-west-1:000000000000:function:deliver" {
					return nil, fmt.Errorf("lambda context %+v", lc)
				}
				return fmt.Appendf(nil, "%s %v", payload, time.Until(deadline)), nil
			})}
	}, func(t *testing.T, f *Function) {
		response, err := f.Invoke(t.Context(), []byte("hello"))
		if string(response) != "hello 1m0s" || err != nil {
			t.Errorf("got %q, %v", response, err)
		}
	})
}

func TestTheTimeoutDefaultsTo3SecondsAndIsAtMost15Minutes(t *testing.T) {
	for given, want := range map[time.Duration]string{0: "3s", time.Hour: "15m0s"} {
		inBubble(t, func() FunctionConfig {
			return FunctionConfig{Timeout: given, NewEnvironment: same(func(ctx context.Context, _ []byte) ([]byte, error) {
				deadline, _ := ctx.Deadline()
				return []byte(time.Until(deadline).String()), nil
			})}
		}, func(t *testing.T, f *Function) {
			if response, err := f.Invoke(t.Context(), nil); string(response) != want || err != nil {
				t.Errorf("%v: got %s, %v; want %s", given, response, err, want)
			}
		})
	}
}

// counting makes environments whose handlers answer with their number, after the time that is their
// payload.
func counting(made *atomic.Int64) EnvironmentFactory {
	return InProcess(func() (Handler, error) {
		number := made.Add(1)
		return handler(func(_ context.Context, payload []byte) ([]byte, error) {
			d, err := time.ParseDuration(string(payload))
			time.Sleep(d)
			return fmt.Append(nil, number), err
		}), nil
	})
}

func TestTheMostRecentlyUsedEnvironmentIsReusedFirst(t *testing.T) {
	var made atomic.Int64
	inBubble(t, func() FunctionConfig { return FunctionConfig{NewEnvironment: counting(&made)} },
		func(t *testing.T, f *Function) {
			var all sync.WaitGroup
			for _, d := range []string{"1s", "2s"} { // environment 1 ends first, so that 2 is used last
				all.Go(func() {
					if _, err := f.Invoke(t.Context(), []byte(d)); err != nil {
						t.Error(err)
					}
				})
				synctest.Wait()
			}
			all.Wait()
			for range 3 {
				if number, err := f.Invoke(t.Context(), []byte("1s")); string(number) != "2" || err != nil {
					t.Errorf("environment %s, %v; want 2, which was used last", number, err)
				}
			}
			if made.Load() != 2 {
				t.Errorf("%d environments were made for 2 concurrent invocations", made.Load())
			}
		})
}

func TestAnEnvironmentRunsOneInvocationAtATimeUpToTheConcurrencyLimit(t *testing.T) {
	var made atomic.Int64
	inBubble(t, func() FunctionConfig {
		return FunctionConfig{NewEnvironment: counting(&made), ReservedConcurrency: 3}
	}, func(t *testing.T, f *Function) {
		var all sync.WaitGroup
		numbers := make([]string, 3)
		for i := range numbers {
			all.Go(func() {
				number, err := f.Invoke(t.Context(), []byte("1s"))
				if numbers[i] = string(number); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		begun := time.Now()
		if _, err := f.Invoke(t.Context(), []byte("0s")); !errors.Is(err, ErrThrottled) || time.Since(begun) != 0 {
			t.Errorf("the fourth: %v after %v, want ErrThrottled at once", err, time.Since(begun))
		}
		all.Wait()
		if numbers[0] == numbers[1] || numbers[1] == numbers[2] || numbers[0] == numbers[2] {
			t.Errorf("invocations shared an environment: %v", numbers)
		}
		if _, err := f.Invoke(t.Context(), []byte("0s")); err != nil {
			t.Errorf("after they had ended: %v", err)
		}
	})
}

func TestWithoutReservedConcurrencyTheAccountsLimitApplies(t *testing.T) {
	var made atomic.Int64
	inBubble(t, func() FunctionConfig { return FunctionConfig{NewEnvironment: counting(&made)} },
		func(t *testing.T, f *Function) {
			var all sync.WaitGroup
			for range accountConcurrency {
				all.Go(func() {
					if _, err := f.Invoke(t.Context(), []byte("1s")); err != nil {
						t.Error(err)
					}
				})
			}
			synctest.Wait()
			if _, err := f.Invoke(t.Context(), []byte("0s")); !errors.Is(err, ErrThrottled) {
				t.Errorf("number %d: %v, want ErrThrottled", accountConcurrency+1, err)
			}
			all.Wait()
		})
}

func TestAHandlerThatPassesItsDeadlineTimesOutAndItsEnvironmentIsDiscarded(t *testing.T) {
	var made atomic.Int64
	inBubble(t, func() FunctionConfig {
		return FunctionConfig{Timeout: time.Minute, ReservedConcurrency: 1, NewEnvironment: counting(&made)}
	}, func(t *testing.T, f *Function) {
		begun := time.Now()
		_, err := f.Invoke(t.Context(), []byte("2m"))
		var timedOut *TimeoutError
		if !errors.As(err, &timedOut) || !strings.HasSuffix(err.Error(), "Task timed out after 60.00 seconds") ||
			!errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if time.Since(begun) != time.Minute {
			t.Errorf("timed out after %v", time.Since(begun))
		}
		if number, err := f.Invoke(t.Context(), []byte("0s")); string(number) != "2" || err != nil {
			t.Errorf("afterwards environment %s, %v; want a new one, 2", number, err)
		}
		time.Sleep(2 * time.Minute) // the late answer comes and is ignored
		if number, err := f.Invoke(t.Context(), []byte("0s")); string(number) != "2" || err != nil {
			t.Errorf("after the late answer environment %s, %v; want 2", number, err)
		}
	})
}

func TestAHandlerThatReturnsAtItsDeadlineHasTimedOut(t *testing.T) {
	inBubble(t, func() FunctionConfig {
		return FunctionConfig{NewEnvironment: same(func(ctx context.Context, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return []byte("late"), nil
		})}
	}, func(t *testing.T, f *Function) {
		for range 200 { // whichever of the two comes first
			var timedOut *TimeoutError
			if response, err := f.Invoke(t.Context(), nil); !errors.As(err, &timedOut) {
				t.Fatalf("got %q, %v", response, err)
			}
		}
	})
}

func TestACallersDeadlineIsNotReportedAsATimeout(t *testing.T) {
	var made atomic.Int64
	inBubble(t, func() FunctionConfig {
		return FunctionConfig{Timeout: time.Minute, NewEnvironment: counting(&made)}
	}, func(t *testing.T, f *Function) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var timedOut *TimeoutError
		if _, err := f.Invoke(ctx, []byte("30s")); errors.As(err, &timedOut) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if _, err := f.Invoke(ctx, []byte("0s")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("started after the deadline: %v", err)
		}
		if made.Load() != 1 {
			t.Errorf("%d environments; an invocation that is too late must not begin", made.Load())
		}
		time.Sleep(time.Minute)
	})
}

type teapotError struct{}

func (*teapotError) Error() string { return "short and stout" }

func TestAHandlerErrorIsReturnedAsJSONAndItsEnvironmentIsReused(t *testing.T) {
	var made atomic.Int64
	for _, c := range []struct {
		err  error
		want string
	}{
		{errors.New("no good"), `{"errorMessage":"no good","errorType":"errorString"}`},
		{&teapotError{}, `{"errorMessage":"short and stout","errorType":"teapotError"}`},
		{messages.InvokeResponse_Error{Message: "m", Type: "T"}, `{"errorMessage":"m","errorType":"T"}`},
	} {
		made.Store(0)
		inBubble(t, func() FunctionConfig {
			return FunctionConfig{NewEnvironment: InProcess(func() (Handler, error) {
				made.Add(1)
				return handler(func(context.Context, []byte) ([]byte, error) { return nil, c.err }), nil
			})}
		}, func(t *testing.T, f *Function) {
			for range 2 {
				var failed *FunctionError
				if _, err := f.Invoke(t.Context(), nil); !errors.As(err, &failed) || string(failed.Payload) != c.want ||
					failed.Fatal {
					t.Errorf("got %+v, want %s", err, c.want)
				}
			}
			if made.Load() != 1 {
				t.Errorf("%d environments", made.Load())
			}
		})
	}
}

func TestAPanicFailsTheInvocationAndDiscardsTheEnvironment(t *testing.T) {
	var made atomic.Int64
	inBubble(t, func() FunctionConfig {
		return FunctionConfig{NewEnvironment: InProcess(func() (Handler, error) {
			made.Add(1)
			return handler(func(_ context.Context, payload []byte) ([]byte, error) { panic(string(payload)) }), nil
		})}
	}, func(t *testing.T, f *Function) {
		for want := range 2 {
			_, err := f.Invoke(t.Context(), []byte("ouch"))
			var failed *FunctionError
			if !errors.As(err, &failed) || !failed.Fatal || !strings.HasPrefix(err.Error(), "Unhandled string: ouch") {
				t.Fatalf("got %v", err)
			}
			var told struct {
				ErrorMessage, ErrorType string
				StackTrace              []string
			}
			if err := json.Unmarshal(failed.Payload, &told); err != nil || told.ErrorMessage != "ouch" ||
				told.ErrorType != "string" || !strings.Contains(told.StackTrace[0], "function_test.go") {
				t.Errorf("the payload is %s (%v)", failed.Payload, err)
			}
			if made.Load() != int64(want+1) {
				t.Errorf("%d environments after %d panics", made.Load(), want+1)
			}
		}
	})
}

func TestAFailedInitFailsTheInvocationAndTheNextOneRetries(t *testing.T) {
	for name, fail := range map[string]func() (Handler, error){
		"error":      func() (Handler, error) { return nil, errors.New("no key") },
		"panic":      func() (Handler, error) { panic("no key") },
		"no handler": func() (Handler, error) { return nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			tries := 0
			inBubble(t, func() FunctionConfig {
				return FunctionConfig{ReservedConcurrency: 1, NewEnvironment: InProcess(func() (Handler, error) {
					if tries++; tries < 3 {
						return fail()
					}
					return handler(func(context.Context, []byte) ([]byte, error) { return []byte("ok"), nil }), nil
				})}
			}, func(t *testing.T, f *Function) {
				for range 2 {
					if _, err := f.Invoke(t.Context(), nil); err == nil || errors.Is(err, ErrThrottled) {
						t.Errorf("got %v", err)
					}
				}
				if response, err := f.Invoke(t.Context(), nil); string(response) != "ok" || err != nil {
					t.Errorf("got %q, %v", response, err)
				}
			})
		})
	}
}

func TestPayloadsAndResponsesAreLimitedTo6MB(t *testing.T) {
	inBubble(t, func() FunctionConfig {
		return FunctionConfig{NewEnvironment: same(func(_ context.Context, payload []byte) ([]byte, error) {
			if len(payload) == 1 {
				return make([]byte, maxPayload+1), nil
			}
			return payload, nil
		})}
	}, func(t *testing.T, f *Function) {
		if response, err := f.Invoke(t.Context(), make([]byte, maxPayload)); len(response) != maxPayload || err != nil {
			t.Errorf("at the limit: %d bytes, %v", len(response), err)
		}
		if _, err := f.Invoke(t.Context(), make([]byte, maxPayload+1)); err == nil ||
			!strings.Contains(err.Error(), "RequestTooLargeException") {
			t.Errorf("a payload over the limit: %v", err)
		}
		var failed *FunctionError
		if _, err := f.Invoke(t.Context(), []byte("x")); !errors.As(err, &failed) ||
			failed.Type != "Function.ResponseSizeTooLarge" {
			t.Errorf("a response over the limit: %v", err)
		}
	})
}

func TestCloseFailsInvocationsUnderWayAndLaterOnes(t *testing.T) {
	inBubble(t, func() FunctionConfig {
		return FunctionConfig{Timeout: time.Minute, NewEnvironment: same(func(ctx context.Context, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})}
	}, func(t *testing.T, f *Function) {
		ended := make(chan error, 1)
		go func() {
			_, err := f.Invoke(t.Context(), nil)
			ended <- err
		}()
		synctest.Wait()
		begun := time.Now()
		f.Close()
		// The handler may see the end of its context, and return its error, before the environment
		// does.
		var failed *FunctionError
		if err := <-ended; !errors.Is(err, ErrClosed) && !errors.As(err, &failed) {
			t.Errorf("under way: %v", err)
		}
		if _, err := f.Invoke(t.Context(), nil); !errors.Is(err, ErrClosed) {
			t.Errorf("afterwards: %v", err)
		}
		if time.Since(begun) != 0 {
			t.Errorf("Close took %v", time.Since(begun))
		}
		f.Close()
	})
}

// goneEnvironment has ended whenever it is invoked a second time.
type goneEnvironment struct {
	number  int
	invoked int
	closed  *[]int
}

func (e *goneEnvironment) Invoke(context.Context, Invocation) ([]byte, error) {
	if e.invoked++; e.invoked > 1 {
		return nil, ErrEnvironmentGone
	}
	return fmt.Append(nil, e.number), nil
}

func (e *goneEnvironment) Close() { *e.closed = append(*e.closed, e.number) }

func TestAnEnvironmentThatEndedWhileIdleIsReplaced(t *testing.T) {
	made, closed := 0, []int{}
	f := NewFunction(FunctionConfig{NewEnvironment: func(context.Context, FunctionInfo) (Environment, error) {
		made++
		return &goneEnvironment{number: made, closed: &closed}, nil
	}})
	for want := 1; want <= 3; want++ {
		if number, err := f.Invoke(t.Context(), nil); string(number) != fmt.Sprint(want) || err != nil {
			t.Errorf("invocation %d: environment %s, %v", want, number, err)
		}
	}
	f.Close()
	if fmt.Sprint(closed) != "[1 2 3]" {
		t.Errorf("closed %v", closed)
	}
}
