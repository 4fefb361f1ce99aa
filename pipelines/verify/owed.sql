-- What each account is owed on a day, from the ledger and the payouts before it: no code here is
-- the payout run's.
--
-- Given, beside what payouts.sql and lines.sql make and are given: the tables schedule, hold_code,
-- asked_for and stopped, as they were then.

-- When points are due --------------------------------------------------------------------------

-- A day of a later month, clipped to that month's end.
CREATE OR REPLACE MACRO day_of_month(day, months, day_wanted, cut_day) AS least(
    (date_trunc('month', day) + to_months(months - (extract('day' FROM day) <= cut_day)::INT))::DATE
    + (day_wanted - 1)::INT,
    last_day(
        (
            date_trunc('month', day) + to_months(months - (extract('day' FROM day) <= cut_day)::INT)
        )::DATE
    )
);

CREATE OR REPLACE TABLE reached AS
SELECT service_id, account_id, min(day) AS reached_on
FROM (
    SELECT
        service_id,
        account_id,
        day,
        yen,
        sum(spent) OVER (PARTITION BY service_id, account_id ORDER BY day) AS spent
    FROM (
        SELECT e.service_id, e.account_id, e.day, s.yen, sum(e.net_amount) AS spent
        FROM entry AS e
        JOIN schedule AS s USING (service_id)
        CROSS JOIN asked AS a
        WHERE s.due = 'on_reaching' AND e.run <= a.run AND e.booked_on <= a.on_day
        GROUP BY ALL
    )
)
WHERE spent >= yen
GROUP BY ALL;

CREATE OR REPLACE TABLE award AS
SELECT
    service_id,
    account_id,
    sum(points) AS awarded,
    coalesce(sum(points) FILTER (due_on <= on_day), 0) AS due,
    max(due_on) FILTER (due_on <= on_day AND points <> 0) AS due_on
FROM (
    SELECT
        e.service_id,
        e.account_id,
        e.points,
        a.on_day,
        greatest(
            e.booked_on,
            CASE coalesce(s.due, 'at_once')
                WHEN 'at_once' THEN e.booked_on
                WHEN 'days_after' THEN e.day + s.days::INT
                WHEN 'month_day' THEN day_of_month(e.day, s.months, s.day, s.cut_day)
                WHEN 'on_reaching' THEN least(
                    s.rest_on,
                    CASE
                        WHEN r.reached_on IS NOT NULL
                        THEN day_of_month(greatest(e.day, r.reached_on), s.months, s.day, s.cut_day)
                    END
                )
            END
        ) AS due_on
    FROM entry AS e
    LEFT JOIN schedule AS s USING (service_id)
    LEFT JOIN reached AS r USING (service_id, account_id)
    CROSS JOIN asked AS a
    WHERE e.run <= a.run
)
GROUP BY ALL;

-- What is owed ---------------------------------------------------------------------------------

CREATE OR REPLACE TABLE account AS
WITH joined AS (
    SELECT
        service_id,
        account_id,
        coalesce(w.awarded, 0) AS awarded,
        least(coalesce(w.due, 0), coalesce(w.awarded, 0)) AS owed,
        w.due_on,
        coalesce(p.granted, 0) AS granted,
        coalesce(p.taken_back, 0) AS taken_back,
        coalesce(p.open_pay, 0) AS open_pay,
        coalesce(p.open_take_back, 0) AS open_take_back,
        p.last_answered
    FROM award AS w
    FULL JOIN paid AS p USING (service_id, account_id)
)
SELECT
    j.*,
    e.person_id,
    coalesce(n.number, j.account_id) AS number,
    coalesce(a.on_day > s.last_payout_on, false) AS is_closed,
    k.account_id IS NOT NULL AS is_stopped,
    coalesce(
        h.code IS NOT NULL
        AND j.last_answered.short
        AND j.last_answered.number = coalesce(n.number, j.account_id),
        false
    ) AS is_held,
    (
        a.on_day >= coalesce(s.take_back_from, a.window_last + 61)
        OR coalesce(a.on_day > s.awards_close_on, false)
        OR NOT coalesce(e.in_force, false)
    ) AS expects_no_more
FROM joined AS j
CROSS JOIN asked AS a
LEFT JOIN schedule AS s USING (service_id)
LEFT JOIN enrolled AS e USING (service_id, account_id)
LEFT JOIN newest AS n USING (service_id, account_id)
LEFT JOIN stopped AS k USING (service_id, account_id)
LEFT JOIN hold_code AS h ON h.service_id = j.service_id AND h.code = j.last_answered.code;

CREATE OR REPLACE TABLE wanted AS
SELECT
    *,
    CASE
        WHEN is_closed OR is_stopped OR is_held OR NOT is_asked_for THEN 0
        ELSE greatest(0, owed - (granted - taken_back + open_pay))
    END AS wish,
    CASE
        WHEN expects_no_more AND is_asked_for
        THEN greatest(0, granted - taken_back - open_take_back - awarded)
        ELSE 0
    END AS take_back
FROM (
    SELECT c.*, f.service_id IS NOT NULL AS is_asked_for
    FROM account AS c
    LEFT JOIN asked_for AS f USING (service_id)
);

-- Nobody is paid more than is left over all accounts; those ahead are paid first.
CREATE OR REPLACE TABLE owed AS
SELECT
    * EXCLUDE (left_over, wish_so_far),
    CASE
        WHEN person_id IS NULL THEN wish
        ELSE least(wish_so_far, left_over) - least(wish_so_far - wish, left_over)
    END AS pay
FROM (
    SELECT
        *,
        greatest(
            0,
            sum(awarded - granted + taken_back - open_pay) OVER (PARTITION BY person_id)
        ) AS left_over,
        sum(wish) OVER (PARTITION BY person_id ORDER BY service_id, account_id) AS wish_so_far
    FROM wanted
);

CREATE OR REPLACE TABLE expected AS
SELECT
    substr(
        sha256(
            concat_ws(
                chr(10), service_id, account_id, format('{:06d}', payout_run), direction, points, ''
            )
        ),
        1,
        32
    ) AS payout_id,
    *
FROM (
    SELECT
        a.payout_run,
        o.service_id,
        o.account_id,
        o.number,
        CASE WHEN o.pay > 0 THEN 'pay' ELSE 'take_back' END AS direction,
        (CASE WHEN o.pay > 0 THEN o.pay ELSE o.take_back END)::BIGINT AS points,
        a.on_day,
        o.due_on
    FROM owed AS o
    CROSS JOIN asked AS a
    WHERE o.pay > 0 OR o.take_back > 0
);

-- The bridge -----------------------------------------------------------------------------------

CREATE OR REPLACE TABLE bridge AS
SELECT
    service_id,
    sum(awarded)::BIGINT AS awarded,
    sum(granted)::BIGINT AS granted,
    sum(taken_back)::BIGINT AS taken_back,
    sum(open_pay - open_take_back)::BIGINT AS unanswered,
    sum(pay)::BIGINT AS due,
    sum(CASE WHEN is_closed THEN 0 ELSE unpaid - pay END)::BIGINT AS withheld,
    sum(CASE WHEN is_closed THEN 0 ELSE later END)::BIGINT AS not_yet_due,
    sum(CASE WHEN is_closed THEN unpaid - pay + later ELSE 0 END)::BIGINT AS lapsed,
    sum(greatest(0, arrived - awarded))::BIGINT AS debt
FROM (
    SELECT
        *,
        greatest(0, owed - arrived) AS unpaid,
        -- What exceeds both what is owed and what has been paid.
        greatest(0, awarded - greatest(owed, arrived)) AS later
    FROM (SELECT *, granted - taken_back + open_pay - open_take_back AS arrived FROM owed)
)
GROUP BY ALL
ORDER BY service_id;

-- What was instructed --------------------------------------------------------------------------

CREATE OR REPLACE TABLE payout_fault AS
SELECT
    'payout' AS kind,
    CASE
        WHEN f.payout_id IS NULL
        THEN concat(o.points, ' points were owed (', o.direction, ') and not instructed')
        WHEN o.payout_id IS NULL
        THEN concat(f.points, ' points were instructed and not owed')
        ELSE concat(
            'the payout has another ',
            coalesce(
                nullif(
                    concat_ws(
                        ', ',
                        CASE WHEN o.number <> f.account_id THEN 'account_id' END,
                        CASE WHEN o.direction <> f.direction THEN 'direction' END,
                        CASE WHEN o.points <> f.points THEN 'points' END,
                        CASE WHEN o.on_day <> f."on" THEN 'on' END,
                        CASE WHEN o.due_on IS DISTINCT FROM f.due_on THEN 'due_on' END,
                        CASE WHEN f.entry <> 'instructed' THEN 'entry' END
                    ),
                    ''
                ),
                'payout_id'
            ),
            ' than was owed'
        )
    END AS what,
    f.name,
    f.row,
    coalesce(o.service_id, f.service_id) AS service_id,
    coalesce(o.account_id, f.enrolled_account_id) AS account_id
FROM expected AS o
FULL JOIN (
    SELECT p.* FROM payout_row AS p JOIN asked AS a USING (payout_run)
) AS f ON f.service_id = o.service_id AND f.enrolled_account_id = o.account_id
WHERE
    f.entry IS DISTINCT FROM 'instructed'
    OR o.payout_id IS DISTINCT FROM f.payout_id
    OR o.number IS DISTINCT FROM f.account_id
    OR o.direction IS DISTINCT FROM f.direction
    OR o.points IS DISTINCT FROM f.points
    OR o.on_day IS DISTINCT FROM f."on"
    OR o.due_on IS DISTINCT FROM f.due_on;

INSERT INTO payout_fault
SELECT
    'payout_twice', 'the payout is instructed twice', name, row, service_id, enrolled_account_id
FROM payout_row
JOIN asked USING (payout_run)
WHERE entry = 'instructed'
QUALIFY row_number() OVER (PARTITION BY payout_id ORDER BY file, row) > 1;
