/*
 * How many sign-ins may be under way with one KDC at once.
 *
 * MIT's KDC drops its oldest connection beyond 45, perhaps one that carries a password's proof, and small DCs
 * have short accept queues: so a burst waits here, in order, where waiting can't hurt. Invariant: busy is the
 * number of waiters that hold a slot; a KDC nobody holds or waits for is forgotten.
 */
#include "validate/krb/krb.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int krb_slot_enter(struct krb *krb, struct krb_waiter *w, const struct sockaddr_storage *address, socklen_t len)
{
        struct krb_kdc *kdc;

        TAILQ_FOREACH (kdc, &krb->kdcs, link)
                if (kdc->len == len && memcmp(&kdc->address, address, len) == 0)
                        break;
        if (!kdc) {
                kdc = calloc(1, sizeof *kdc);
                if (!kdc)
                        return -ENOMEM;
                memcpy(&kdc->address, address, len);
                kdc->len = len;
                TAILQ_INIT(&kdc->waiting);
                TAILQ_INSERT_TAIL(&krb->kdcs, kdc, link);
        }
        w->kdc = kdc;
        w->holds = kdc->busy < KRB_SLOTS;
        if (w->holds) {
                kdc->busy++;
                return 0;
        }
        TAILQ_INSERT_TAIL(&kdc->waiting, w, link);
        return 1;
}

/* A slot that came free goes to whoever waits longest, who goes on from the loop, by its timer. */
void krb_slot_leave(struct krb *krb, struct krb_waiter *w)
{
        struct krb_kdc *kdc = w->kdc;
        struct krb_waiter *next;

        if (!kdc)
                return;
        if (!w->holds) {
                TAILQ_REMOVE(&kdc->waiting, w, link);
        } else if ((next = TAILQ_FIRST(&kdc->waiting))) {
                TAILQ_REMOVE(&kdc->waiting, next, link);
                next->holds = true;
                loop_timer_in(next->timer, 0);
        } else {
                kdc->busy--;
        }
        w->kdc = NULL;
        w->holds = false;
        if (kdc->busy == 0 && TAILQ_EMPTY(&kdc->waiting)) {
                TAILQ_REMOVE(&krb->kdcs, kdc, link);
                free(kdc);
        }
}
