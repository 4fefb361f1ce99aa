-- What became, by the moment before a payout run, of what was instructed: no code here is the payout
-- run's.
--
-- Given, beside what payouts.sql makes: the table asked (one row: payout_run, run, on_day, until,
-- window_last), and the tables enrolled, replacement and replaced as they were then.

-- Whose a number is now ------------------------------------------------------------------------

CREATE OR REPLACE TABLE belongs AS
WITH RECURSIVE walk AS (
    SELECT service_id, number, number AS account_id, 0 AS steps, []::VARCHAR[] AS passed
    FROM replaced
    UNION ALL
    SELECT w.service_id, w.number, r.account_id, w.steps + 1, list_append(w.passed, w.account_id)
    FROM walk AS w
    JOIN replaced AS r ON r.service_id = w.service_id AND r.number = w.account_id
    WHERE
        NOT list_contains(w.passed, w.account_id)
        AND NOT EXISTS (
            SELECT 1
            FROM enrolled AS e
            WHERE e.in_force AND e.service_id = w.service_id AND e.account_id = w.account_id
        )
)
SELECT service_id, number, arg_max(account_id, steps) AS account_id
FROM walk
GROUP BY ALL;

CREATE OR REPLACE TABLE newest AS
SELECT
    b.service_id, b.account_id, arg_max(b.number, (r.effective_at, r.place)) AS number
FROM belongs AS b
JOIN replacement AS r ON r.service_id = b.service_id AND r.other_id = b.number
CROSS JOIN asked AS a
WHERE r.effective_at < a.until
GROUP BY ALL;

-- What became of what was instructed before ----------------------------------------------------

CREATE OR REPLACE TABLE line AS
SELECT
    l.*,
    coalesce(b.account_id, l.number) AS account_id
FROM (
    SELECT
        payout_id,
        any_value(p.service_id) AS service_id,
        any_value(account_id) AS number,
        any_value(enrolled_account_id) AS enrolled_account_id,
        any_value(direction) AS direction,
        min(p.payout_run) FILTER (entry = 'instructed') AS payout_run,
        coalesce(sum(points) FILTER (entry = 'instructed'), 0) AS instructed,
        coalesce(sum(points) FILTER (entry = 'done'), 0) AS done,
        coalesce(sum(points) FILTER (entry = 'refused'), 0) AS refused,
        count(*) FILTER (entry <> 'instructed') > 0 AS is_answered,
        max("on") FILTER (entry <> 'instructed') AS answered_on,
        (max({'run': p.payout_run, 'code': code}) FILTER (
            entry <> 'instructed' AND points > 0
        )).code AS code
    FROM payout_row AS p
    CROSS JOIN asked AS a
    WHERE p.payout_run < a.payout_run
    GROUP BY payout_id
) AS l
LEFT JOIN belongs AS b ON b.service_id = l.service_id AND b.number = l.number;

CREATE OR REPLACE TABLE paid AS
SELECT
    service_id,
    account_id,
    coalesce(sum(done) FILTER (direction = 'pay'), 0) AS granted,
    coalesce(sum(done) FILTER (direction <> 'pay'), 0) AS taken_back,
    coalesce(sum(instructed) FILTER (direction = 'pay' AND NOT is_answered), 0) AS open_pay,
    coalesce(sum(instructed) FILTER (direction <> 'pay' AND NOT is_answered), 0) AS open_take_back,
    -- Of the payments that have an answer, the one instructed last.
    max(
        {
            'run': payout_run,
            'id': payout_id,
            'number': number,
            'code': code,
            'short': done < instructed
        }
    ) FILTER (direction = 'pay' AND is_answered) AS last_answered
FROM line
GROUP BY ALL;
