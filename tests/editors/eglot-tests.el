;;; eglot-tests.el --- Eglot and `scrubjay lsp'  -*- lexical-binding: t; -*-

;;; Commentary:

;; Run in batch Emacs by test_eglot.py, after what the README tells users to
;; write.  The variable EGLOT_TEST_FILE of the environment names a Python
;; file in a project of its own.

;;; Code:

(require 'eglot)
(require 'ert)
(require 'python)

(setq eglot-sync-connect 60
      eglot-connect-timeout 60
      eglot-autoshutdown nil
      jsonrpc-default-request-timeout 120)

(defmacro eglot-tests--with-file (&rest body)
  "Visit the test's file with Eglot managing it, and do BODY at its end."
  `(with-current-buffer (find-file-noselect (getenv "EGLOT_TEST_FILE"))
     (python-mode)
     (unwind-protect
         (progn
           (apply #'eglot (eglot--guess-contact))
           (goto-char (point-max))
           ,@body)
       (set-buffer-modified-p nil)
       (when (eglot-current-server)
         (eglot-shutdown (eglot-current-server))))))

(ert-deftest eglot-tests-completes-at-point ()
  "The menu's entries arrive by `completion-at-point-functions', and one can be inserted."
  (eglot-tests--with-file
   (insert "    ret")
   (pcase-let* ((before (buffer-string))
                (`(,start ,end ,table . ,plist) (eglot-completion-at-point))
                (candidates (all-completions (buffer-substring start end) table (plist-get plist :predicate)))
                (candidate (car candidates)))
     (should candidates)
     (delete-region start end)
     (insert candidate)
     (funcall (plist-get plist :exit-function) candidate 'finished)
     (should (string-prefix-p before (buffer-string)))
     (should (> (buffer-size) (length before))))))

(ert-deftest eglot-tests-takes-none-of-two-unasked ()
  "Without a menu, the first key inserts what the entries have in common, which is on one line."
  (eglot-tests--with-file
   (insert "    ret")
   (pcase-let* ((`(,start ,end ,table . ,_) (eglot-completion-at-point))
                (candidates (all-completions (buffer-substring start end) table)))
     (when (cdr candidates)
       (let ((lines (count-lines (point-min) (point-max))))
         (completion-at-point)
         (should (= lines (count-lines (point-min) (point-max))))
         (should-not (member (buffer-substring start (point)) candidates)))))))

(ert-deftest eglot-tests-stays-in-step-beyond-the-bmp ()
  "Edits after characters of several units reach the daemon: it still answers."
  (eglot-tests--with-file
   (insert "    name = \"naïve 漢字 😀\"\n")
   (insert "    ret")
   (pcase-let ((`(,start ,end ,table . ,_) (eglot-completion-at-point)))
     (should (all-completions (buffer-substring start end) table)))
   (let ((status (eglot-execute (eglot-current-server) '(:command "scrubjay.status" :arguments []))))
     (should (equal (plist-get (plist-get status :lsp) :resent) 0)))))

(provide 'eglot-tests)
;;; eglot-tests.el ends here
